import { createVirtualClock, type VirtualClock } from '@emet/core/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Database, openDatabase } from '../../../store/index.ts'
import type { Chain } from '../../chain/index.ts'
import { createFakeChain, type FakeChain } from '../../chain/testing.ts'
import type { PaymentDriver, Settlement } from '../types.ts'
import { ERC20_NETWORKS, type Erc20Network } from './networks.ts'
import type { Erc20Options } from './options.ts'
import { createTestDriver, testAccount, testPayee, tokens } from './testing.ts'

const payer = testAccount(77)
const hoodi = ERC20_NETWORKS.find(({ name }) => name === 'hoodi') as Erc20Network
const network = { ...hoodi, wantedDepth: 2, finalDepth: 4, maxFeeCapWei: 20n * 10n ** 9n, priorityFeeMinWei: 1n }
const payees = [1, 2, 3].map(testPayee)

let chain: FakeChain
let clock: VirtualClock
let db: Database
let drivers: PaymentDriver[]
let settled: Settlement[]

beforeEach(() => {
  chain = createFakeChain({ chainId: network.chainId, token: network.token.address, multiPay: network.multiPay ?? '' })
  chain.credit(payer.address, tokens(1000))
  clock = createVirtualClock()
  db = openDatabase({ path: ':memory:' })
  drivers = []
  settled = []
})
afterEach(async () => {
  for (const driver of drivers) await driver.stop()
  expect(clock.pendingTimers, 'timers left running').toBe(0)
})

async function start(over: Chain = chain, options: Partial<Erc20Options> = {}): Promise<PaymentDriver> {
  const driver = createTestDriver({
    network,
    accounts: [payer],
    db,
    clock,
    openChain: () => over,
    options: { stuckMs: 60_000, replacedMs: 60_000, pollMs: 1_000, retryMinMs: 1_000, retryMaxMs: 8_000, ...options },
  })
  driver.onSettled((settlement) => void settled.push(settlement))
  drivers.push(driver)
  await driver.start()
  return driver
}

const schedule = (driver: PaymentDriver, id: string, payee = payees[0]!, amount = 1) =>
  driver.schedule({
    paymentOrderId: id,
    payer: payer.address,
    payee,
    platform: 'erc20-hoodi-tglm',
    amountWei: tokens(amount),
    dueMs: clock.nowMs(),
  })
const scheduleAll = (driver: PaymentDriver) =>
  payees.forEach((payee, i) => void schedule(driver, `o${i}`, payee, i + 1))

/** Virtual seconds, in each of which the chain mines a block, until `isDone`; fails after too many. */
async function run(isDone: () => boolean, seconds = 200, mines = true): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    await breathe()
    if (isDone()) return
    if (mines) chain.mine()
    await clock.advance(1_000)
  }
  throw new Error(`not done after ${seconds} s: ${JSON.stringify(drivers.at(-1)?.status())}`)
}

/** Signing and recovering take real turns of the event loop. */
async function breathe(): Promise<void> {
  for (let i = 0; i < 12; i++) await new Promise((resolve) => setImmediate(resolve))
}

const paid = () => payees.map((payee) => chain.balanceOf(payee))
const allPaid = [tokens(1), tokens(2), tokens(3)]
const allSettled = () => new Set(settled.flatMap((each) => each.paymentOrderIds)).size === 3

/**
 * The chain as a process sees it that dies at its `at`-th call: before the call has an effect, or after it, without
 * learning the answer.
 */
function mortal(at: number, when: 'before' | 'after') {
  let calls = 0
  let isDead = false
  const guard = async (work: () => Promise<unknown>) => {
    if (isDead) throw new Error('dead')
    const isLast = ++calls === at
    if (isLast) isDead = true
    if (isLast && when === 'before') throw new Error('killed')
    const result = await work()
    if (isLast) throw new Error('killed')
    return result
  }
  const view = Object.fromEntries(
    Object.entries(chain).map(([name, value]) => [
      name,
      typeof value === 'function' ? (...values: unknown[]) => guard(() => Reflect.apply(value, chain, values)) : value,
    ]),
  ) as unknown as Chain
  return { view, isDead: () => isDead, calls: () => calls }
}

test('three payees are paid once, and told at the wanted depth', async () => {
  const driver = await start()
  scheduleAll(driver)
  await run(allSettled)
  expect(paid()).toEqual(allPaid)
  expect(settled.map((each) => each.logIndex)).toEqual([0, 1, 2])
  expect(chain.minedEver).toHaveLength(2)
})

/** Enough for the approval and the batch, both to their seal. */
const CALLS_OF_A_RUN = 40
const crashes = Array.from({ length: CALLS_OF_A_RUN }, (_, i) => i + 1).flatMap((at) =>
  (['before', 'after'] as const).map((when) => ({ at, when })),
)

test.each(crashes)('killed $when chain call $at: nobody is paid twice, nothing is lost', async ({ at, when }) => {
  const life = mortal(at, when)
  const first = await start(life.view)
  scheduleAll(first)
  await run(() => life.isDead() || allSettled())
  await first.stop()
  // The chain goes on while the daemon is down.
  chain.mine(3)
  await start()
  await run(allSettled)
  expect(paid()).toEqual(allPaid)
  chain.mine(10)
  expect(paid()).toEqual(allPaid)
  expect(chain.balanceOf(payer.address)).toBe(tokens(994))
})

test('the table of crashes reaches past the last call of a run', async () => {
  const life = mortal(Number.POSITIVE_INFINITY, 'before')
  const driver = await start(life.view)
  scheduleAll(driver)
  await run(allSettled)
  expect(life.calls()).toBeLessThanOrEqual(CALLS_OF_A_RUN)
})

test('a settlement that a listener could not record is told again at the next start, and then no more', async () => {
  const driver = await start()
  driver.onSettled(() => {
    throw new Error('disk full')
  })
  schedule(driver, 'one')
  await run(() => settled.length === 1)
  await driver.stop()
  await (await start()).stop()
  expect(settled).toHaveLength(2)
  expect(settled[1]).toEqual(settled[0])
  await (await start()).stop()
  expect(settled).toHaveLength(2)
})

test('a reorganisation that forgets the transaction: it is sent again, the payee has the money once', async () => {
  const driver = await start()
  schedule(driver, 'one')
  await run(() => chain.balanceOf(payees[0]!) > 0n)
  chain.reorganise(1, 'forget')
  expect(chain.balanceOf(payees[0]!)).toBe(0n)
  await run(() => settled.length > 0)
  expect(chain.balanceOf(payees[0]!)).toBe(tokens(1))
  expect(new Set(chain.minedEver).size).toBe(1)
})

test('a reorganisation after the settlement was told: sent again, told again', async () => {
  const driver = await start()
  schedule(driver, 'one')
  await run(() => settled.length === 1)
  chain.reorganise(2, 'forget')
  await run(() => settled.length === 2)
  expect(settled[1]?.confirmation).toEqual(settled[0]?.confirmation)
  expect(settled[1]?.blockHash).not.toBe(settled[0]?.blockHash)
  expect(chain.balanceOf(payees[0]!)).toBe(tokens(1))
})

test('a price spike: the fee rises by at least an eighth each time, under the cap, until it is mined', async () => {
  const driver = await start()
  schedule(driver, 'one')
  await run(() => chain.waiting === 1, 20, false)
  chain.setBaseFee(6n * 10n ** 9n)
  await run(() => settled.length === 1, 600)
  expect(chain.balanceOf(payees[0]!)).toBe(tokens(1))
  const attempts = db.all('SELECT max_fee, priority_fee FROM erc20_attempt ORDER BY number')
  expect(attempts.length).toBeGreaterThanOrEqual(2)
  attempts.slice(1).forEach((attempt, i) => {
    for (const fee of ['max_fee', 'priority_fee']) {
      expect(BigInt(String(attempt[fee])) * 8n).toBeGreaterThanOrEqual(BigInt(String(attempts[i]![fee])) * 9n)
    }
  })
  expect(BigInt(String(attempts.at(-1)!['max_fee']))).toBeLessThanOrEqual(network.maxFeeCapWei)
})

test('gas beyond the cap: says so, waits, and pays when it has fallen', async () => {
  const driver = await start()
  chain.setBaseFee(network.maxFeeCapWei + 1n)
  schedule(driver, 'one')
  await run(() => driver.status().length > 0)
  expect(driver.status()).toEqual([{ kind: 'TxStuck', driver: 'erc20', network: 'hoodi' }])
  expect(chain.waiting).toBe(0)
  chain.setBaseFee(10n ** 9n)
  await run(() => settled.length === 1)
  expect(driver.status()).toEqual([])
})

test('an old attempt is mined though newer ones exist: the receipt is found along the whole chain', async () => {
  const driver = await start()
  schedule(driver, 'one')
  await run(() => chain.waiting === 1, 20, false)
  const oldest = db.get('SELECT raw FROM erc20_attempt')!
  await run(() => db.all('SELECT 1 FROM erc20_attempt').length === 3, 400, false)
  chain.dropWaiting()
  await chain.send(oldest['raw'] as `0x${string}`)
  await run(() => settled.length === 1)
  expect(chain.balanceOf(payees[0]!)).toBe(tokens(1))
})

test('nodes that forget a waiting transaction get it again', async () => {
  const driver = await start(chain, { stuckMs: 30_000 })
  schedule(driver, 'one')
  await run(() => chain.waiting === 1, 20, false)
  chain.dropWaiting()
  await run(() => settled.length === 1)
  expect(chain.balanceOf(payees[0]!)).toBe(tokens(1))
})

test('the nonce is used by another program: after the final depth the order is paid in a new transaction', async () => {
  const driver = await start()
  schedule(driver, 'one')
  await run(() => chain.waiting === 1, 20, false)
  chain.dropWaiting()
  chain.spendNonce(payer.address)
  await run(() => settled.length === 1, 400)
  expect(chain.balanceOf(payees[0]!)).toBe(tokens(1))
  expect(db.all('SELECT state FROM erc20_transaction ORDER BY id').map((row) => row['state'])).toEqual([
    'replaced',
    expect.stringMatching(/final|sealed/),
  ])
})

test('a used nonce alone is no reason to pay again: the chain may still undo it', async () => {
  chain.mine(5)
  const driver = await start(chain, { replacedMs: 0 })
  schedule(driver, 'one')
  await run(() => chain.waiting === 1, 20, false)
  const { raw } = db.get('SELECT raw FROM erc20_attempt') as { raw: `0x${string}` }
  chain.dropWaiting()
  chain.spendNonce(payer.address)
  chain.mine(2)
  for (let second = 0; second < 10; second++) {
    await clock.advance(1_000)
    await breathe()
  }
  expect(db.all('SELECT state FROM erc20_transaction')).toEqual([{ state: 'broadcast' }])
  chain.unspendNonce(payer.address)
  await chain.send(raw)
  await run(() => settled.length === 1)
  expect(chain.balanceOf(payees[0]!)).toBe(tokens(1))
})

test('an outage of the endpoints is reported, and nothing is lost', async () => {
  let isDown = true
  const flaky = new Proxy(chain, {
    get: (target, name) => {
      const value = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return isDown ? () => Promise.reject(new Error('no route')) : value
    },
  })
  const driver = await start(flaky)
  schedule(driver, 'one')
  await run(() => driver.status().length > 0)
  expect(driver.status()).toEqual([{ kind: 'RpcError', driver: 'erc20', network: 'hoodi' }])
  expect(driver.order('one')).toMatchObject({ kind: 'queued', waitingFor: 'rpc' })
  isDown = false
  await run(() => settled.length === 1)
})

test('a reverted batch is paid again, but only when the revert cannot be undone any more', async () => {
  const driver = await start()
  schedule(driver, 'one')
  await run(() => chain.waiting === 1, 20, false)
  chain.credit(payer.address, -tokens(1000), 0n)
  chain.mine()
  await clock.advance(2_000)
  await breathe()
  expect(db.get('SELECT state FROM erc20_transaction')?.['state']).toBe('mined')
  chain.credit(payer.address, tokens(1000), 0n)
  await run(() => settled.length === 1)
  expect(chain.balanceOf(payees[0]!)).toBe(tokens(1))
  expect(db.all('SELECT state FROM erc20_transaction ORDER BY id')[0]?.['state']).toBe('failed')
})

test('a payee whom the token refuses does not keep the others from their money', async () => {
  chain.refusePayee(payees[1]!)
  const driver = await start()
  scheduleAll(driver)
  await run(() => settled.length === 2, 100)
  expect(paid()).toEqual([tokens(1), 0n, tokens(3)])
  expect(driver.order('o1')).toMatchObject({ kind: 'queued' })
})

test('a transaction never exceeds its number of payees', async () => {
  const driver = await start(chain, { payeesMax: 2 })
  scheduleAll(driver)
  await run(allSettled)
  expect(paid()).toEqual(allPaid)
  expect(chain.minedEver).toHaveLength(3)
})

test('an order is not sent before its time, and flush hastens it', async () => {
  const driver = await start(chain, { leadMs: 60_000 })
  const dueMs = clock.nowMs() + 3_600_000
  const later = {
    paymentOrderId: 'later',
    payer: payer.address,
    payee: payees[0]!,
    platform: 'erc20-hoodi-tglm',
    amountWei: 5n,
  }
  driver.schedule({ ...later, dueMs })
  driver.schedule({ ...later, dueMs })
  expect(() => driver.schedule({ ...later, amountWei: 6n, dueMs })).toThrow(/exists with another/)
  await clock.advance(600_000)
  await breathe()
  expect(chain.waiting).toBe(0)
  driver.flush('erc20-hoodi-tglm')
  await run(() => settled.length === 1)
  expect(chain.balanceOf(payees[0]!)).toBe(5n)
})

test('networks that one chain stands in for draw on one balance', async () => {
  const twin = { ...network, name: 'holesky' }
  const driver = await start(chain, { networks: [network, twin] })
  const order = { payer: payer.address, payee: payees[0]!, amountWei: tokens(400), dueMs: clock.nowMs() + 1e9 }
  driver.schedule({ ...order, paymentOrderId: 'later', platform: 'erc20-hoodi-tglm' })
  for (const platform of ['erc20-hoodi-tglm', 'erc20-holesky-tglm']) {
    const request = { address: payer.address, platform, amountWei: tokens(601), reservedWei: 0n }
    expect(await driver.checkFunds(request)).toMatchObject({ scheduledWei: tokens(400), isEnough: false })
  }
})
