/**
 * The networks of the `erc20` driver as data. Addresses are those Golem has published for its networks; RPC endpoints are
 * public ones that need no key. Everything can be overridden, see `options.ts`.
 */

/** One network, all its settings. */
export type Erc20Network = {
  /** Lower case, no dash: it is the second part of platform names. */
  readonly name: string
  readonly chainId: number
  readonly gasSymbol: string
  readonly token: { readonly symbol: string; readonly decimals: number; readonly address: string }
  /** Pays many in one transaction. Without it each payee gets a transaction. */
  readonly multiPay?: string
  /** Contract with `create()`. */
  readonly faucet?: string
  /** `GET <url>/0x<address>` gives native coin. */
  readonly gasFaucetUrl?: string
  readonly rpcUrls: readonly string[]
  /** Blocks, its own included, until a transfer counts: for telling the payee, and for believing a payer. */
  readonly wantedDepth: number
  /** Blocks, its own included, until a reorganisation is out of the question. */
  readonly finalDepth: number
  readonly blockTimeMs: number
  /** Never offer more for a unit of gas. */
  readonly maxFeeCapWei: bigint
  /** Never tip less: nodes of some networks refuse it. */
  readonly priorityFeeMinWei: bigint
  readonly isTestnet: boolean
  readonly isRetired: boolean
}

const GWEI = 10n ** 9n
const GLM = { symbol: 'GLM', decimals: 18 }
const TGLM = { symbol: 'tGLM', decimals: 18 }

/** Ethereum proof of stake: final after two epochs of 32 blocks. */
const ETHEREUM = { wantedDepth: 2, finalDepth: 64, blockTimeMs: 12_000 }
const POLYGON = { wantedDepth: 3, finalDepth: 100, blockTimeMs: 2_000 }
const TEST_ETHEREUM = { ...ETHEREUM, gasSymbol: 'tETH', maxFeeCapWei: 20n * GWEI, priorityFeeMinWei: 1_000n }

const LIVE: readonly Erc20Network[] = [
  {
    ...ETHEREUM,
    name: 'mainnet',
    chainId: 1,
    gasSymbol: 'ETH',
    token: { ...GLM, address: '0x7dd9c5cba05e151c895fde1cf355c9a1d5da6429' },
    multiPay: '0xcfd497f7d111f14c3ef7ebeee63771d1506f0af8',
    rpcUrls: ['https://ethereum-rpc.publicnode.com', 'https://eth.drpc.org'],
    maxFeeCapWei: 40n * GWEI,
    priorityFeeMinWei: GWEI / 10n,
    isTestnet: false,
    isRetired: false,
  },
  {
    ...POLYGON,
    name: 'polygon',
    chainId: 137,
    gasSymbol: 'POL',
    token: { ...GLM, address: '0x0b220b82f3ea3b7f6d9a1d8ab58930c064a2b5bf' },
    multiPay: '0x50100d4faf5f3b09987dea36dc2eddd57a3e561b',
    rpcUrls: ['https://polygon-bor-rpc.publicnode.com', 'https://polygon.drpc.org'],
    maxFeeCapWei: 500n * GWEI,
    priorityFeeMinWei: 25n * GWEI,
    isTestnet: false,
    isRetired: false,
  },
  {
    ...TEST_ETHEREUM,
    name: 'hoodi',
    chainId: 560_048,
    token: { ...TGLM, address: '0x55555555555556acff9c332ed151758858bd7a26' },
    multiPay: '0x222222222220c9269cfb43ed434888f604d1dc21',
    faucet: '0x500f965199c63865a3e666ca3ff55b64f1c8bc8b',
    gasFaucetUrl: 'http://faucet.testnet.golem.network:4004/donate',
    rpcUrls: ['https://ethereum-hoodi-rpc.publicnode.com', 'https://rpc.hoodi.ethpandaops.io'],
    isTestnet: true,
    isRetired: false,
  },
  {
    ...TEST_ETHEREUM,
    name: 'sepolia',
    chainId: 11_155_111,
    token: { ...TGLM, address: '0x167b15ada84c63427c6c813b915a42efc72e7175' },
    faucet: '0x31a2a20956a40c2f358fa5cec59d55a9c5d6ff9a',
    rpcUrls: ['https://ethereum-sepolia-rpc.publicnode.com'],
    isTestnet: true,
    isRetired: false,
  },
  {
    ...POLYGON,
    name: 'amoy',
    chainId: 80_002,
    gasSymbol: 'POL',
    token: { ...TGLM, address: '0x2b60e60d3fb0b36a7ccb388f9e71570da4c4594f' },
    multiPay: '0xa0a51642a594763d78091bf03ee6bf8e8d663bba',
    faucet: '0xf29ff8a13211ac33861986e407190ae5c773d53c',
    rpcUrls: ['https://polygon-amoy-bor-rpc.publicnode.com'],
    maxFeeCapWei: 500n * GWEI,
    priorityFeeMinWei: 30n * GWEI,
    isTestnet: true,
    isRetired: false,
  },
]

/** Switched off by their operators. They keep their names, for programs that ask for them on a local chain. */
const RETIRED: readonly Erc20Network[] = [
  {
    ...TEST_ETHEREUM,
    name: 'holesky',
    chainId: 17_000,
    token: { ...TGLM, address: '0x8888888815bf4db87e57b609a50f938311eed068' },
    multiPay: '0xaaaaaaa00e1841a63342db7188aba84bdee236c7',
    faucet: '0xface100969ff47eb58d2cf603321b581a84bceac',
    rpcUrls: [],
    isTestnet: true,
    isRetired: true,
  },
  {
    ...TEST_ETHEREUM,
    name: 'goerli',
    chainId: 5,
    token: { ...TGLM, address: '0x33af15c79d64b85ba14aaffaa4577949104b22e8' },
    multiPay: '0x7777784f803a7bf1d7f115f849d29ce5706da64a',
    faucet: '0xcca41b09c1f50320bfb41bd6822bd0cdbdc7d85c',
    rpcUrls: [],
    isTestnet: true,
    isRetired: true,
  },
  {
    ...POLYGON,
    name: 'mumbai',
    chainId: 80_001,
    gasSymbol: 'POL',
    token: { ...TGLM, address: '0x2036807b0b3aaf5b1858ee822d0e111fddac7018' },
    multiPay: '0x800010d7d0d315dca795110eccf0127cbd76b89f',
    rpcUrls: [],
    maxFeeCapWei: 14n * GWEI,
    priorityFeeMinWei: GWEI,
    isTestnet: true,
    isRetired: true,
  },
  {
    ...TEST_ETHEREUM,
    name: 'rinkeby',
    chainId: 4,
    token: { ...TGLM, address: '0xd94e3dc39d4cad1dad634e7eb585a57a19dc7efe' },
    rpcUrls: [],
    isTestnet: true,
    isRetired: true,
  },
]

/** A local chain (Anvil) with our own contracts; its endpoint comes from the options. */
const LOCAL: Erc20Network = {
  ...TEST_ETHEREUM,
  name: 'local',
  chainId: 31_337,
  token: { ...TGLM, address: '0xa16e02e87b7454126e5e10d957a927a7f5b5d2be' },
  multiPay: '0xe7f1725e7734ce288f8367e1bb143e90bb3f0512',
  faucet: '0x5fbdb2315678afecb367f032d93f642f64180aa3',
  rpcUrls: [],
  wantedDepth: 1,
  finalDepth: 1,
  blockTimeMs: 100,
  isTestnet: true,
  isRetired: false,
}

/** Golem's default network for payments. */
export const DEFAULT_NETWORK = 'hoodi'

export const ERC20_NETWORKS: readonly Erc20Network[] = [...LIVE, ...RETIRED, LOCAL]

/** What a network becomes while a local chain stands in for it. */
export const LOCAL_TIMING = {
  wantedDepth: LOCAL.wantedDepth,
  finalDepth: LOCAL.finalDepth,
  blockTimeMs: LOCAL.blockTimeMs,
  maxFeeCapWei: 10_000n * GWEI,
  priorityFeeMinWei: 1n,
}

/** `erc20-hoodi-tglm`. */
export const platformOf = (driver: string, network: Erc20Network) =>
  `${driver}-${network.name}-${network.token.symbol.toLowerCase()}`
