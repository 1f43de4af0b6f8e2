import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DevChain, devAccounts, devChainEnvironment, startDevChain } from '@emet/contracts/dev-chain'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { openDatabase } from '../../../store/index.ts'
import { encodeTransfer } from '../../chain/index.ts'
import type { PaymentDriver, Settlement, VerifyRequest } from '../types.ts'
import { networksFromEnvironment } from './options.ts'
import { createTestDriver, type TestAccount, testAccount, testPayee, tokens } from './testing.ts'

const PLATFORM = 'erc20-hoodi-tglm'
let chain: DevChain
let dataDir: string
let accountNumber = 0
const stops: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'emet-erc20-'))
  chain = await startDevChain({ dataDir, keepHistory: true })
})
afterAll(async () => {
  await chain.stop()
  await rm(dataDir, { recursive: true, force: true })
})
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
  await chain.rpc('evm_setAutomine', true)
  await chain.rpc('evm_mine')
})

function network(change = {}) {
  const hoodi = networksFromEnvironment(devChainEnvironment(chain, ['hoodi'])).find(({ name }) => name === 'hoodi')!
  return { ...hoodi, ...change }
}

async function startDriver(accounts: TestAccount[], settings: Partial<Parameters<typeof createTestDriver>[0]> = {}) {
  const driver = createTestDriver({ network: network(), accounts, ...settings })
  const settled: Settlement[] = []
  driver.onSettled((settlement) => void settled.push(settlement))
  await driver.start()
  stops.push(() => driver.stop())
  return { driver, settled }
}

async function fundedAccount(): Promise<TestAccount> {
  const account = testAccount(++accountNumber)
  const gas = `0x${(10n ** 18n).toString(16)}`
  await chain.rpc('anvil_setBalance', account.address, gas)
  const data = `0x${(await import('viem')).toFunctionSelector('createFor(address)').slice(2)}${account.address.slice(2).padStart(64, '0')}`
  await mined({ from: devAccounts.deployer.address, to: chain.addresses.faucet, data })
  return account
}

async function mined(transaction: Record<string, unknown>): Promise<string> {
  const hash = String(await chain.rpc('eth_sendTransaction', transaction))
  await until(async () => (await chain.rpc('eth_getTransactionReceipt', hash)) !== null)
  return hash
}

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 10))
}

const tokenBalance = async (driver: PaymentDriver, address: string) =>
  (await driver.balance(address as never, PLATFORM)).tokenWei
const order = (paymentOrderId: string, payer: TestAccount, payee: string, amount: number) => ({
  paymentOrderId,
  payer: payer.address,
  payee: payee as never,
  platform: PLATFORM,
  amountWei: tokens(amount),
  dueMs: 0,
})
const nonceOf = async (address: string) => Number(await chain.rpc('eth_getTransactionCount', address, 'latest'))

test('a fresh account is funded with gas and tokens, and sees its balance', async () => {
  const account = testAccount(++accountNumber)
  const { driver } = await startDriver([account])
  const progress: string[] = []
  const text = await driver.fund({
    address: account.address,
    network: 'hoodi',
    onProgress: (t) => void progress.push(t),
  })
  expect(text).toBe('Received 1000 tGLM on hoodi')
  expect(progress).toEqual(['Asking the faucet for tETH', 'Asking the faucet for test tokens'])
  const balance = await driver.balance(account.address, PLATFORM)
  expect(balance).toMatchObject({ tokenWei: tokens(1000), tokenSymbol: 'tGLM', tokenDecimals: 18, gasSymbol: 'tETH' })
  expect(balance.gasWei).toBeGreaterThan(10n ** 16n)
  expect(await driver.fund({ address: account.address, network: 'hoodi' })).toMatch(/has 1000 tGLM already/)
})

test('one order becomes one plain transfer, and the payee can verify it', async () => {
  const payer = await fundedAccount()
  const payee = testPayee(accountNumber * 1000)
  const { driver, settled } = await startDriver([payer])
  driver.schedule(order('one', payer, payee, 1.5))
  await until(() => settled.length === 1)
  expect(settled[0]).toMatchObject({ paymentOrderIds: ['one'], payee, amountWei: tokens(1.5), logIndex: 0 })
  expect(driver.order('one')).toMatchObject({ kind: 'settled' })
  expect(await tokenBalance(driver, payee)).toBe(tokens(1.5))
  const verified = await driver.verify({ ...settled[0]! })
  expect(verified).toMatchObject({ kind: 'confirmed', amountWei: tokens(1.5), logs: [{ logIndex: 0 }], claimedWei: 0n })
})

test('ten payees are paid in one transaction after one approval, orders to the same payee added up', async () => {
  const payer = await fundedAccount()
  const payees = Array.from({ length: 10 }, (_, i) => testPayee(accountNumber * 1000 + i))
  const { driver, settled } = await startDriver([payer])
  payees.forEach((payee, i) => void driver.schedule(order(`a${i}`, payer, payee, 1 + i)))
  payees.slice(0, 3).forEach((payee, i) => void driver.schedule(order(`b${i}`, payer, payee, 0.5)))
  await until(() => settled.length === 10)
  expect(await nonceOf(payer.address)).toBe(2)
  expect(new Set(settled.map((each) => Buffer.from(each.confirmation).toString('hex'))).size).toBe(1)
  expect(settled[0]?.paymentOrderIds).toEqual(['a0', 'b0'])
  expect(await Promise.all(payees.map((payee) => tokenBalance(driver, payee)))).toEqual(
    payees.map((_, i) => tokens(1 + i + (i < 3 ? 0.5 : 0))),
  )
  for (const settlement of settled) expect(await driver.verify(settlement)).toMatchObject({ kind: 'confirmed' })
  driver.schedule(order('c', payer, payees[0]!, 1))
  driver.schedule(order('d', payer, payees[1]!, 1))
  await until(() => settled.length === 12)
  expect(await nonceOf(payer.address)).toBe(3)
})

test('what is missing is said, and payment goes on after a top-up: first gas, then tokens', async () => {
  const payer = testAccount(++accountNumber)
  const { driver, settled } = await startDriver([payer])
  driver.schedule(order('poor', payer, testPayee(1), 5))
  await until(() => driver.status().length > 0)
  expect(driver.status('hoodi')).toEqual([
    { kind: 'InsufficientToken', driver: 'erc20', network: 'hoodi', address: payer.address, neededTokenEst: '5' },
  ])
  await mined({ from: devAccounts.deployer.address, to: chain.addresses.faucet, data: '0xefc81a8c' })
  const data = encodeTransfer(payer.address, tokens(8))
  await mined({ from: devAccounts.deployer.address, to: chain.addresses.token, data })
  await until(() => driver.status()[0]?.kind === 'InsufficientGas')
  expect(driver.order('poor')).toMatchObject({ kind: 'queued', waitingFor: 'gas' })
  await chain.rpc('anvil_setBalance', payer.address, '0xde0b6b3a7640000')
  await until(() => settled.length === 1)
  await until(() => driver.status().length === 0)
})

test('a stuck transaction gets a higher fee; only one of its attempts is mined', async () => {
  const payer = await fundedAccount()
  const payee = testPayee(accountNumber * 1000)
  const { driver, settled } = await startDriver([payer], { options: { stuckMs: 150, gatherMs: 0, pollMs: 20 } })
  await chain.rpc('evm_setAutomine', false)
  driver.schedule(order('stuck', payer, payee, 2))
  const hashes = new Set<string>()
  await until(() => {
    const progress = driver.order('stuck')
    if (progress?.kind === 'sending' && progress.transactionHash) hashes.add(progress.transactionHash)
    return hashes.size >= 3
  })
  await chain.rpc('evm_mine')
  await until(() => settled.length === 1)
  expect(await tokenBalance(driver, payee)).toBe(tokens(2))
  expect(await nonceOf(payer.address)).toBe(1)
  await chain.rpc('evm_mine')
  expect(await tokenBalance(driver, payee)).toBe(tokens(2))
})

test('a daemon killed between signing and broadcast sends the same bytes at its next start', async () => {
  const payer = await fundedAccount()
  const payee = testPayee(accountNumber * 1000)
  const db = openDatabase({ path: ':memory:' })
  const { createRpcChain } = await import('../../chain/index.ts')
  const { systemClock } = await import('@emet/core')
  const real = createRpcChain({ fetch, clock: systemClock }, { chainId: chain.chainId, urls: [chain.rpcUrl] })
  let reached: () => void = () => {}
  const broadcasting = new Promise<void>((resolve) => {
    reached = resolve
  })
  const dying = {
    ...real,
    send: () => {
      reached()
      return new Promise<never>((_, reject) => setTimeout(reject, 30, new Error('killed')))
    },
  }
  const first = createTestDriver({ network: network(), accounts: [payer], db, openChain: () => dying })
  await first.start()
  first.schedule(order('crash', payer, payee, 3))
  await broadcasting
  const before = first.order('crash')
  await first.stop()
  expect(before).toMatchObject({ kind: 'sending', transactionHash: expect.stringMatching(/^0x[0-9a-f]{64}$/) })
  expect(await nonceOf(payer.address)).toBe(0)

  const { driver, settled } = await startDriver([payer], { db })
  await until(() => settled.length === 1)
  expect(`0x${Buffer.from(settled[0]!.confirmation).toString('hex')}`).toBe(
    before?.kind === 'sending' && before.transactionHash,
  )
  expect(await tokenBalance(driver, payee)).toBe(tokens(3))
  expect(await nonceOf(payer.address)).toBe(1)
})

test('a transaction lost in a reorganisation is sent again, and paid once', async () => {
  const payer = await fundedAccount()
  const payee = testPayee(accountNumber * 1000)
  const { driver, settled } = await startDriver([payer], { network: network({ wantedDepth: 3, finalDepth: 6 }) })
  driver.schedule(order('reorg', payer, payee, 4))
  await until(async () => (await nonceOf(payer.address)) === 1)
  expect(settled).toEqual([])
  await chain.rpc('anvil_rollback', 1)
  expect(await nonceOf(payer.address)).toBe(0)
  await until(async () => {
    await chain.rpc('evm_mine')
    return settled.length === 1
  })
  expect(await tokenBalance(driver, payee)).toBe(tokens(4))
})

test('two accounts pay side by side', async () => {
  const [one, two] = [await fundedAccount(), await fundedAccount()]
  const { driver, settled } = await startDriver([one, two])
  driver.schedule(order('one', one, testPayee(7), 1))
  driver.schedule(order('two', two, testPayee(7), 2))
  await until(() => settled.length === 2)
  expect(settled.map((each) => each.payer).sort()).toEqual([one.address, two.address].sort())
})

test('a withdrawal resolves when it is settled', async () => {
  const payer = await fundedAccount()
  const { driver } = await startDriver([payer], { options: { gatherMs: 60_000 } })
  const payee = testPayee(accountNumber * 1000)
  const settlement = await driver.transfer({ payer: payer.address, payee, platform: PLATFORM, amountWei: 5n })
  expect(settlement).toMatchObject({ payee, amountWei: 5n })
})

test('reservations and scheduled orders count against the funds', async () => {
  const payer = await fundedAccount()
  const { driver } = await startDriver([payer], { options: { gatherMs: 60_000 } })
  driver.schedule(order('later', payer, testPayee(5), 100))
  const request = { address: payer.address, platform: PLATFORM, reservedWei: tokens(300) }
  expect(await driver.checkFunds({ ...request, amountWei: tokens(600) })).toMatchObject({
    isEnough: true,
    availableWei: tokens(600),
    scheduledWei: tokens(100),
    hasGas: true,
  })
  expect((await driver.checkFunds({ ...request, amountWei: tokens(600) + 1n })).isEnough).toBe(false)
})

test('the payee refuses what is not a payment of this amount, from this payer, in this token', async () => {
  const payer = await fundedAccount()
  const payee = testPayee(accountNumber * 1000)
  const { driver, settled } = await startDriver([payer])
  driver.schedule(order('real', payer, payee, 2))
  await until(() => settled.length === 1)
  const good: VerifyRequest = settled[0]!
  const verify = (change: Partial<VerifyRequest>) => driver.verify({ ...good, ...change })
  const bytes = (hash: string) => Uint8Array.from(Buffer.from(hash.slice(2), 'hex'))

  expect(await verify({ payee: testPayee(9_999) })).toMatchObject({ kind: 'refused', reason: 'no-transfer' })
  expect(await verify({ payer: testPayee(9_998) })).toMatchObject({ kind: 'refused', reason: 'wrong-payer' })
  expect(await verify({ amountWei: tokens(2) + 1n })).toMatchObject({ reason: 'too-small', foundWei: tokens(2) })
  expect(await verify({ confirmation: new Uint8Array(31) })).toMatchObject({ reason: 'malformed' })
  expect(await verify({ confirmation: new Uint8Array(32) })).toMatchObject({ kind: 'pending', reason: 'not-found' })

  // Native coin of the same number of wei.
  const from = devAccounts.deployer.address
  const coin = await mined({ from, to: payee, value: `0x${tokens(2).toString(16)}` })
  expect(await verify({ confirmation: bytes(coin), payer: from as never })).toMatchObject({ reason: 'no-transfer' })

  // A contract of the payer's own that emits the very same event: 96 bytes of memory, LOG3 with topics from code.
  const topic = 'ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef'
  const word = (address: string) => address.slice(2).padStart(64, '0')
  const amount = tokens(2).toString(16).padStart(64, '0')
  const code = `0x7f${amount}5f527f${word(payee)}7f${word(from)}7f${topic}60205fa300`
  const forger = '0x00000000000000000000000000000000000f0f0f'
  await chain.rpc('anvil_setCode', forger, code)
  const forged = await mined({ from, to: forger })
  const receipt = (await chain.rpc('eth_getTransactionReceipt', forged)) as { logs: { topics: string[] }[] }
  expect(receipt.logs[0]?.topics).toHaveLength(3)
  expect(await verify({ confirmation: bytes(forged), payer: from as never })).toMatchObject({ reason: 'no-transfer' })
})

test('a transfer too young is pending, and waited for', async () => {
  const payer = await fundedAccount()
  const { driver, settled } = await startDriver([payer])
  driver.schedule(order('young', payer, testPayee(accountNumber * 1000), 2))
  await until(() => settled.length === 1)
  const careful = createTestDriver({ network: network({ wantedDepth: 3, finalDepth: 5 }), accounts: [] })
  expect(await careful.verify(settled[0]!)).toMatchObject({ reason: 'not-deep-enough', depth: 1, wantedDepth: 3 })
  const waiting = careful.verify(settled[0]!, { patienceMs: 10_000 })
  await chain.rpc('anvil_mine', '0x2')
  expect(await waiting).toMatchObject({ kind: 'confirmed', depth: 3, isFinal: false })
})

test('money passed on by the allow-listed multi-pay counts for the sender, by any other contract it does not', async () => {
  const payer = await fundedAccount()
  const payee = testPayee(accountNumber * 1000)
  const { encodeFunctionData } = await import('viem')
  const { multiPayAbi } = await import('@emet/contracts')
  await chain.rpc('anvil_impersonateAccount', payer.address)
  const approve = `0x095ea7b3${chain.addresses.multiPay.slice(2).padStart(64, '0')}${'f'.repeat(64)}`
  await mined({ from: payer.address, to: chain.addresses.token, data: approve })
  const data = encodeFunctionData({
    abi: multiPayAbi,
    functionName: 'golemTransferIndirect',
    args: [
      [payee as `0x${string}`, payee as `0x${string}`],
      [tokens(1), tokens(2)],
    ],
  })
  const hash = await mined({ from: payer.address, to: chain.addresses.multiPay, data })
  const { driver } = await startDriver([])
  const request: VerifyRequest = {
    confirmation: Uint8Array.from(Buffer.from(hash.slice(2), 'hex')),
    platform: PLATFORM,
    payer: payer.address,
    payee,
    amountWei: tokens(3),
  }
  const seen = await driver.verify(request)
  expect(seen).toMatchObject({ kind: 'confirmed', amountWei: tokens(3), logs: [{}, {}] })
  const stranger = createTestDriver({ network: network({ multiPay: testPayee(3) }), accounts: [] })
  expect(await stranger.verify(request)).toMatchObject({ reason: 'wrong-payer' })

  if (seen.kind !== 'confirmed') return
  driver.claim({ paymentId: 'p1', amountWei: tokens(2), transfer: seen })
  driver.claim({ paymentId: 'p1', amountWei: tokens(2), transfer: seen })
  expect(() => driver.claim({ paymentId: 'p2', amountWei: tokens(1) + 1n, transfer: seen })).toThrow(/is claimed/)
  expect(await driver.verify({ ...request, amountWei: tokens(2) })).toMatchObject({ reason: 'already-claimed' })
  expect(await driver.verify({ ...request, amountWei: tokens(2), paymentId: 'p1' })).toMatchObject({
    kind: 'confirmed',
  })
  driver.release('p1')
  expect(await driver.verify(request)).toMatchObject({ kind: 'confirmed' })
})

test('one chain stands in for several networks, which share accounts, nonces and claims', async () => {
  const payer = await fundedAccount()
  const payee = testPayee(accountNumber * 1000)
  const hoodi = network()
  const networks = [{ ...hoodi, name: 'local', rpcUrls: [] }, hoodi, { ...hoodi, name: 'holesky' }]
  const { driver, settled } = await startDriver([payer], { options: { networks } })
  expect((await driver.balance(payer.address, 'erc20-local-tglm')).tokenWei).toBe(tokens(1000))
  driver.schedule(order('hoodi', payer, payee, 1))
  driver.schedule({ ...order('holesky', payer, payee, 2), platform: 'erc20-holesky-tglm' })
  await until(() => settled.length === 2)
  expect(await nonceOf(payer.address)).toBe(2)
  expect(settled.map((each) => [each.platform, each.amountWei])).toEqual([
    [PLATFORM, tokens(1)],
    ['erc20-holesky-tglm', tokens(2)],
  ])
  const seen = await driver.verify(settled[0]!)
  if (seen.kind === 'confirmed') driver.claim({ paymentId: 'p', amountWei: tokens(1), transfer: seen })
  expect(await driver.verify({ ...settled[0]!, platform: 'erc20-holesky-tglm' })).toMatchObject({
    reason: 'already-claimed',
  })
})

test('an endpoint of another chain is not believed', async () => {
  const payer = testAccount(++accountNumber)
  const { driver } = await startDriver([payer], { network: network({ chainId: 5 }) })
  await expect(driver.balance(payer.address, PLATFORM)).rejects.toMatchObject({ code: 'wrong-chain' })
  driver.schedule(order('x', payer, testPayee(1), 1))
  await until(() => driver.status().length > 0)
  expect(driver.status()).toEqual([{ kind: 'InvalidChainId', driver: 'erc20', chainId: 5 }])
})
