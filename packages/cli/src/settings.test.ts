import { expect, test } from 'vitest'
import { levelOfFilter, loadSettings } from './settings.ts'

const load = (env: Record<string, string>, flags = {}) => loadSettings({ dataDir: '/nonexistent', ...flags }, env)

test.each([
  ['info,ya_net=off', 'info'],
  ['ya_net=debug,warn', 'warn'],
  ['ya_net=debug', 'debug'],
  ['TRACE', 'debug'],
  ['off', 'error'],
  ['ya_net', undefined],
  ['ya_information=1', undefined],
])("the original's log filter %j means the level %s", (filter, level) => {
  expect(levelOfFilter(filter)).toBe(level)
  expect(load({ RUST_LOG: filter }).values.logLevel).toBe(level ?? 'info')
})

test('a wrong level under our own name is refused, whatever the foreign one says', () => {
  expect(() => load({ EMET_LOG: 'info,ya_net=off', RUST_LOG: 'info' })).toThrow(/EMET_LOG is "info,ya_net=off"/)
  expect(load({ EMET_LOG: 'warn', RUST_LOG: 'debug' })).toMatchObject({
    values: { logLevel: 'warn' },
    sources: { logLevel: 'environment' },
  })
})

test('a payment cycle of 0 means: by network', () => {
  expect(load({}, { paymentCycleMs: '0' }).values.paymentCycleMs).toBe(0)
  expect(load({ EMET_PAYMENT_CYCLE_MS: '50' }).values.paymentCycleMs).toBe(50)
  for (const wrong of ['49', '-1', '1.5', 'x'])
    expect(() => load({ EMET_PAYMENT_CYCLE_MS: wrong })).toThrow(/EMET_PAYMENT_CYCLE_MS/)
})
