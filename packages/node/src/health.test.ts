import { expect, test } from 'vitest'
import { healthChecks } from './health.ts'

const signal = new AbortController().signal
const NO_GAS = {
  kind: 'InsufficientGas' as const,
  driver: 'erc20',
  network: 'hoodi',
  address: '0x1',
  neededGasEst: 1n,
}

async function check({ status = [] as (typeof NO_GAS)[], sessions = 1, expectsPeers = true } = {}) {
  const payment = { accounts: { driverStatus: () => status as never } }
  const net = { status: () => ({ sessions }) as never }
  for (const run of healthChecks({ payment, net, expectsPeers })) await run(signal)
}

test('a node that pays and has peers is well', async () => {
  await expect(check()).resolves.toBeUndefined()
})

test('trouble of a payment driver is told with its kind', async () => {
  const status = [{ ...NO_GAS, neededGasEst: '1' as never }]
  await expect(check({ status })).rejects.toMatchObject({
    type: '/healthcheck/payment-driver-errors',
    step: 'payments-check',
    facts: { problems: [expect.stringContaining('InsufficientGas')] },
  })
})

test('a node that was told of peers and has none is ill; one that was not is alone by choice', async () => {
  await expect(check({ sessions: 0 })).rejects.toMatchObject({ step: 'relay-check' })
  await expect(check({ sessions: 0, expectsPeers: false })).resolves.toBeUndefined()
})
