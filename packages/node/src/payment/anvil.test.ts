/** The whole way of the money with the real driver, on a real chain. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DevChain, devAccounts, devChainEnvironment, startDevChain } from '@emet/contracts/dev-chain'
import { type NodeId, systemClock } from '@emet/core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { networksFromEnvironment } from './drivers/erc20/index.ts'
import { createTestDriver } from './drivers/erc20/testing.ts'
import { ACTIVITY, AGREEMENT, agreementBetween, createWorld, GLM, idOf, type World } from './testing/index.ts'

const PLATFORM = 'erc20-hoodi-tglm'
let chain: DevChain
let dataDir: string

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'emet-payment-'))
  chain = await startDevChain({ dataDir })
})
afterAll(async () => {
  await chain.stop()
  await rm(dataDir, { recursive: true, force: true })
})

/** Two nodes that pay by `erc20` on the chain. */
async function open(): Promise<World> {
  const network = networksFromEnvironment(devChainEnvironment(chain, ['hoodi'])).find(({ name }) => name === 'hoodi')!
  const world = await createWorld({
    clock: systemClock,
    deps: (deps) => {
      const accounts = [1, 2]
        .filter((seed) => deps.signer.ids().includes(idOf(seed)))
        .map((seed) => ({ address: idOf(seed), privateKey: new Uint8Array(32).fill(seed) }))
      return { ...deps, drivers: [createTestDriver({ network, accounts, db: deps.db })] }
    },
  })
  const chosen = { 'golem.com.payment.chosen-platform': PLATFORM }
  const agreement = agreementBetween(world.requestor.id, world.provider.id)
  world.agreements.set(AGREEMENT, { ...agreement, demandProperties: chosen, offerProperties: {} })
  return world
}

async function fund(address: NodeId): Promise<void> {
  await chain.rpc('anvil_setBalance', address, `0x${(10n ** 18n).toString(16)}`)
  const selector = (await import('viem')).toFunctionSelector('createFor(address)')
  const data = `${selector}${address.slice(2).padStart(64, '0')}`
  await chain.rpc('eth_sendTransaction', { from: devAccounts.deployer.address, to: chain.addresses.faucet, data })
}

it('pays an invoice with the real driver; the payee finds it on the chain', { timeout: 60_000 }, async () => {
  const world = await open()
  const { requestor, provider } = world
  await fund(requestor.id)
  const held = (id: NodeId) => requestor.payment.accounts.status(id, { network: 'hoodi' }).then(({ amount }) => amount)
  while ((await held(requestor.id)) === 0n) await systemClock.sleep(20)
  const before = [await held(requestor.id), await held(provider.id)] as const

  const { allocationId } = await requestor.payment.allocations.create(requestor.id, {
    ...{ address: undefined, timeout: undefined, deposit: undefined, makeDeposit: undefined, extendTimeout: undefined },
    paymentPlatform: PLATFORM,
    totalAmount: 10n * GLM,
  })
  const paymentDueDate = (systemClock.nowMs() + 1e9) * 1000
  const bill = { agreementId: AGREEMENT, activityIds: [ACTIVITY], amount: 3n * GLM, paymentDueDate }
  const { invoiceId } = provider.payment.invoices.issue(provider.id, bill)
  await provider.payment.invoices.send(provider.id, invoiceId)
  await requestor.payment.invoices.accept(requestor.id, invoiceId, { totalAmountAccepted: 3n * GLM, allocationId })

  const settled = { timeoutMs: 30_000, providerKinds: ['SETTLED'] as const }
  expect(await provider.payment.invoices.events(provider.id, settled)).toHaveLength(1)
  expect(requestor.payment.invoices.get(requestor.id, invoiceId).status).toBe('SETTLED')
  expect([await held(requestor.id), await held(provider.id)]).toEqual([before[0] - 3n * GLM, before[1] + 3n * GLM])
  const [payment] = await provider.payment.payments.poll(provider.id, { timeoutMs: 0 })
  const hash = `0x${Buffer.from(payment!.details).toString('hex')}`
  expect(await chain.rpc('eth_getTransactionReceipt', hash)).toMatchObject({ status: '0x1' })
  await world.stop()
})
