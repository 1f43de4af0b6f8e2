import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Address,
  createPublicClient,
  createWalletClient,
  type Hex,
  http,
  pad,
  parseEther,
  parseEventLogs,
  toFunctionSelector,
  toHex,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  DEV_CHAIN_ADDRESSES,
  type DevChain,
  devAccounts,
  faucetAbi,
  multiPayAbi,
  startDevChain,
  testGlmAbi,
} from './index.ts'

let chain: DevChain
let dataDir: string
let snapshot: unknown
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'emet-contracts-'))
  chain = await startDevChain({ dataDir })
})
afterAll(async () => {
  await chain.stop()
  await rm(dataDir, { recursive: true, force: true })
})
beforeEach(async () => {
  if (snapshot) await chain.rpc('evm_revert', snapshot)
  snapshot = await chain.rpc('evm_snapshot')
})

const { token, faucet, multiPay } = DEV_CHAIN_ADDRESSES
const payer = privateKeyToAccount(devAccounts.spare.privateKey)
const relayer = privateKeyToAccount(devAccounts.deployer.privateKey)
const payees = [1, 2, 3].map((n) => pad(toHex(0xabc0 + n), { size: 20 }))
const amounts = [parseEther('1'), parseEther('2'), parseEther('3.5')]
const packed = payees.map((payee, i): Hex => `${payee}${pad(toHex(amounts[i]!), { size: 12 }).slice(2)}`)

const client = () => createPublicClient({ transport: http(chain.rpcUrl), pollingInterval: 5, cacheTime: 0 })
const wallet = (account = payer) => createWalletClient({ account, transport: http(chain.rpcUrl) })
const balanceOf = (address: Address) =>
  client().readContract({ address: token, abi: testGlmAbi, functionName: 'balanceOf', args: [address] })

async function send(call: Record<string, unknown>, account = payer) {
  const hash = await wallet(account).writeContract({ chain: null, account, ...call } as never)
  return client().waitForTransactionReceipt({ hash })
}
const create = () => send({ address: faucet, abi: faucetAbi, functionName: 'create' })
const approve = () =>
  send({ address: token, abi: testGlmAbi, functionName: 'approve', args: [multiPay, 2n ** 256n - 1n] })

test('selectors are those of the contracts on Golem networks', () => {
  const selectors = (signature: string) => toFunctionSelector(signature)
  expect(selectors('create()')).toBe('0xefc81a8c')
  const names = multiPayAbi.filter((item) => item.type === 'function').map((item) => item.name)
  expect(names).toEqual(
    expect.arrayContaining([
      'GLM',
      'golemTransferDirect',
      'golemTransferIndirect',
      'golemTransferDirectPacked',
      'golemTransferIndirectPacked',
    ]),
  )
})

test('create mints a grant, and nothing to whoever has enough', async () => {
  await create()
  expect(await balanceOf(payer.address)).toBe(parseEther('1000'))
  await expect(create()).rejects.toThrow(/HasEnough/)
  await send({ address: faucet, abi: faucetAbi, functionName: 'createFor', args: [payees[0]] })
  expect(await balanceOf(payees[0]!)).toBe(parseEther('1000'))
})

test('only the faucet mints', async () => {
  const mint = { address: token, abi: testGlmAbi, functionName: 'mint', args: [payer.address, 1n] }
  await expect(send(mint)).rejects.toThrow(/OnlyMinter/)
})

test.each([
  ['golemTransferDirect', [payees, amounts]],
  ['golemTransferIndirect', [payees, amounts]],
  ['golemTransferDirectPacked', [packed]],
  ['golemTransferIndirectPacked', [packed, parseEther('6.5')]],
  ['payWithReceipts', [packed, payees.map((payee) => pad(payee))]],
])('%s pays each payee and keeps nothing', async (functionName, args) => {
  await create()
  await approve()
  const receipt = await send({ address: multiPay, abi: multiPayAbi, functionName, args })
  expect(receipt.status).toBe('success')
  expect(await Promise.all(payees.map(balanceOf))).toEqual(amounts)
  expect(await balanceOf(multiPay)).toBe(0n)
  expect(await balanceOf(payer.address)).toBe(parseEther('993.5'))
  const receipts = parseEventLogs({ abi: multiPayAbi, logs: receipt.logs, eventName: 'Paid' })
  const wanted = functionName === 'payWithReceipts' ? amounts : []
  expect(receipts.map((log) => log.args.amount)).toEqual(wanted)
})

test.each([
  ['golemTransferDirect', [payees, amounts.slice(1)], /LengthsDiffer/],
  ['golemTransferIndirectPacked', [packed, parseEther('7')], /TotalDiffers/],
  ['golemTransferIndirectPacked', [packed, parseEther('6')], /./],
  ['payWithReceipts', [packed, []], /LengthsDiffer/],
])('%s moves nothing when its arguments do not fit', async (functionName, args, error) => {
  await create()
  await approve()
  await expect(send({ address: multiPay, abi: multiPayAbi, functionName, args })).rejects.toThrow(error)
  expect(await balanceOf(payer.address)).toBe(parseEther('1000'))
})

// 0xfb8f41b2 is the token's ERC20InsufficientAllowance.
test('multi-pay spends only its caller’s allowance', async () => {
  await create()
  await approve()
  const theft = { address: multiPay, abi: multiPayAbi, functionName: 'golemTransferDirectPacked', args: [packed] }
  await expect(send(theft, relayer)).rejects.toThrow(/0xfb8f41b2/)
})

const domain = () => ({
  name: 'Test Golem Network Token',
  version: '1',
  chainId: chain.chainId,
  verifyingContract: token,
})
const authorization = {
  TransferWithAuthorization: [
    { name: 'from', type: 'address' },
    { name: 'to', type: 'address' },
    { name: 'value', type: 'uint256' },
    { name: 'validAfter', type: 'uint256' },
    { name: 'validBefore', type: 'uint256' },
    { name: 'nonce', type: 'bytes32' },
  ],
} as const

test('a signed authorisation moves tokens once, in its time, for exactly what was signed (EIP-3009)', async () => {
  await create()
  const far = 2n ** 40n
  const message = {
    from: payer.address,
    to: payees[0]!,
    value: 5n,
    validAfter: 0n,
    validBefore: far,
    nonce: pad('0x1'),
  }
  const sign = (change = {}) =>
    payer.signTypedData({
      domain: domain(),
      types: authorization,
      primaryType: 'TransferWithAuthorization',
      message: { ...message, ...change },
    })
  const transfer = (signature: Hex, change = {}) => {
    const m = { ...message, ...change }
    const args = [m.from, m.to, m.value, m.validAfter, m.validBefore, m.nonce, signature]
    return send({ address: token, abi: testGlmAbi, functionName: 'transferWithAuthorization', args }, relayer)
  }
  const signature = await sign()
  await expect(transfer(signature, { value: 6n })).rejects.toThrow(/AuthorizationBadSignature/)
  await transfer(signature)
  expect(await balanceOf(payees[0]!)).toBe(5n)
  await expect(transfer(signature)).rejects.toThrow(/AuthorizationSpent/)
  const late = { validBefore: 1n, nonce: pad('0x2' as Hex) }
  await expect(transfer(await sign(late), late)).rejects.toThrow(/AuthorizationExpired/)
  const early = { validAfter: far, nonce: pad('0x3' as Hex) }
  await expect(transfer(await sign(early), early)).rejects.toThrow(/AuthorizationNotYetValid/)
})

test('a cancelled authorisation cannot be used', async () => {
  await create()
  const nonce = pad('0x9')
  const signature = await payer.signTypedData({
    domain: domain(),
    types: {
      CancelAuthorization: [
        { name: 'authorizer', type: 'address' },
        { name: 'nonce', type: 'bytes32' },
      ],
    },
    primaryType: 'CancelAuthorization',
    message: { authorizer: payer.address, nonce },
  })
  const args = [payer.address, nonce, signature]
  await send({ address: token, abi: testGlmAbi, functionName: 'cancelAuthorization', args }, relayer)
  expect(
    await client().readContract({
      address: token,
      abi: testGlmAbi,
      functionName: 'authorizationState',
      args: [payer.address, nonce],
    }),
  ).toBe(true)
})

test('permit grants an allowance by signature (EIP-2612)', async () => {
  const deadline = 2n ** 40n
  const signature = await payer.signTypedData({
    domain: domain(),
    types: {
      Permit: [
        { name: 'owner', type: 'address' },
        { name: 'spender', type: 'address' },
        { name: 'value', type: 'uint256' },
        { name: 'nonce', type: 'uint256' },
        { name: 'deadline', type: 'uint256' },
      ],
    },
    primaryType: 'Permit',
    message: { owner: payer.address, spender: multiPay, value: 7n, nonce: 0n, deadline },
  })
  const [r, s, v] = [signature.slice(0, 66), `0x${signature.slice(66, 130)}`, Number(`0x${signature.slice(130)}`)]
  const args = [payer.address, multiPay, 7n, deadline, v, r, s]
  await send({ address: token, abi: testGlmAbi, functionName: 'permit', args }, relayer)
  expect(
    await client().readContract({
      address: token,
      abi: testGlmAbi,
      functionName: 'allowance',
      args: [payer.address, multiPay],
    }),
  ).toBe(7n)
})
