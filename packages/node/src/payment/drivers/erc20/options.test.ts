import { expect, test } from 'vitest'
import { ERC20_NETWORKS } from './networks.ts'
import { networksFromEnvironment } from './options.ts'

const hoodi = (environment: Record<string, string>) =>
  networksFromEnvironment(environment).find(({ name }) => name === 'hoodi')

test('no variables, no change', () => {
  expect(networksFromEnvironment({})).toEqual(ERC20_NETWORKS)
})

test('each variable changes its setting, addresses become lower case', () => {
  const address = '0xABCDEF0000000000000000000000000000000001'
  expect(
    hoodi({
      HOODI_GETH_ADDR: 'http://one:8545, http://two:8545',
      HOODI_CHAIN_ID: '31337',
      HOODI_TGLM_CONTRACT_ADDRESS: address,
      HOODI_MULTI_PAYMENT_CONTRACT_ADDRESS: address,
      HOODI_MAX_FEE_PER_GAS: '1.5',
      ERC20_HOODI_REQUIRED_CONFIRMATIONS: '4',
    }),
  ).toMatchObject({
    rpcUrls: ['http://one:8545', 'http://two:8545'],
    chainId: 31_337,
    token: { symbol: 'tGLM', decimals: 18, address: address.toLowerCase() },
    multiPay: address.toLowerCase(),
    maxFeeCapWei: 1_500_000_000n,
    wantedDepth: 5,
  })
})

test('a local chain has local timing, and confirmations still win', () => {
  expect(hoodi({ ERC20_HOODI_IS_LOCAL: 'true' })).toMatchObject({ wantedDepth: 1, finalDepth: 1, blockTimeMs: 100 })
  expect(hoodi({ ERC20_HOODI_IS_LOCAL: 'true', ERC20_HOODI_REQUIRED_CONFIRMATIONS: '2' })).toMatchObject({
    wantedDepth: 3,
  })
})

test.each([
  ['HOODI_GETH_ADDR', 'nowhere'],
  ['HOODI_CHAIN_ID', '-1'],
  ['HOODI_CHAIN_ID', 'x'],
  ['HOODI_TGLM_CONTRACT_ADDRESS', '0x12'],
  ['HOODI_MAX_FEE_PER_GAS', '1e9'],
  ['ERC20_HOODI_REQUIRED_CONFIRMATIONS', '1.5'],
])('%s=%s is refused by name and value', (name, value) => {
  expect(() => hoodi({ [name]: value })).toThrow(
    expect.objectContaining({ code: 'bad-request', facts: { name, value } }),
  )
})

test('networks are well-formed: unique names and chains, no dash, lower-case addresses', () => {
  expect(new Set(ERC20_NETWORKS.map(({ name }) => name)).size).toBe(ERC20_NETWORKS.length)
  expect(new Set(ERC20_NETWORKS.map(({ chainId }) => chainId)).size).toBe(ERC20_NETWORKS.length)
  for (const { name, token, multiPay, faucet, wantedDepth, finalDepth, isRetired, rpcUrls } of ERC20_NETWORKS) {
    expect(name).toMatch(/^[a-z0-9]+$/)
    for (const address of [token.address, multiPay, faucet]) if (address) expect(address).toMatch(/^0x[0-9a-f]{40}$/)
    expect(finalDepth).toBeGreaterThanOrEqual(wantedDepth)
    expect(isRetired && rpcUrls.length > 0).toBe(false)
  }
})
