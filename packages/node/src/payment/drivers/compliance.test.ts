import { nodeId, silentLogger } from '@emet/core'
import { createSeededRandom, createVirtualClock, type VirtualClock } from '@emet/core/testing'
import { onTestFinished } from 'vitest'
import { createFakeChain } from '../chain/testing.ts'
import { ERC20_NETWORKS, type Erc20Network } from './erc20/index.ts'
import { createTestDriver, testAccount, testPayee } from './erc20/testing.ts'
import { createMockDriver, createMockLedger } from './mock/index.ts'
import { describeDriver } from './testing.ts'

const UNIT = 10n ** 18n
const payees = [testPayee(1), testPayee(2)] as const

/** Virtual seconds; in each the event loop turns a few times, for signatures. */
async function run(clock: VirtualClock, isDone: () => boolean, each: () => void = () => {}): Promise<void> {
  for (let second = 0; second < 100; second++) {
    for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => setImmediate(resolve))
    if (isDone()) return
    each()
    await clock.advance(1_000)
  }
  throw new Error('never done')
}

describeDriver('mock', async () => {
  const clock = createVirtualClock()
  const ledger = createMockLedger()
  const driver = createMockDriver({ clock, ledger, random: createSeededRandom(1), log: silentLogger })
  const payer = nodeId(`0x${'77'.repeat(20)}`)
  ledger.credit(payer, 'mock-local-tglm', 1000n * UNIT)
  await driver.start()
  onTestFinished(() => driver.stop())
  const platform = 'mock-local-tglm'
  return { driver, platform, payer, payees, nowMs: clock.nowMs, run: (isDone) => run(clock, isDone) }
})

describeDriver('erc20', async () => {
  const clock = createVirtualClock()
  const hoodi = ERC20_NETWORKS.find(({ name }) => name === 'hoodi') as Erc20Network
  const network = { ...hoodi, wantedDepth: 1, finalDepth: 3 }
  const { chainId, token, multiPay = '' } = network
  const chain = createFakeChain({ chainId, token: token.address, multiPay })
  const account = testAccount(5)
  chain.credit(account.address, 1000n * UNIT)
  const driver = createTestDriver({ network, accounts: [account], clock, openChain: () => chain })
  await driver.start()
  onTestFinished(() => driver.stop())
  const platform = 'erc20-hoodi-tglm'
  const runBlocks = (isDone: () => boolean) => run(clock, isDone, () => chain.mine())
  return { driver, platform, payer: account.address, payees, nowMs: clock.nowMs, run: runBlocks }
})
