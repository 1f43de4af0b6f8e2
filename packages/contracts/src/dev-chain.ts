/**
 * A chain of one's own: an Anvil node on loopback with the test token, its faucet and multi-pay at addresses that are
 * always the same, ready in a fraction of a second. It can stand in for any named payment network:
 *
 *     const chain = await startDevChain({ dataDir })
 *     const environment = devChainEnvironment(chain, ['hoodi', 'holesky'])   // for a daemon's process
 *     await chain.stop()
 *
 * It ends with the process that started it, even when that is killed.
 */
import { mkdir } from 'node:fs/promises'
import { type AnvilProcess, startAnvil } from './anvil.ts'
import { readArtifact } from './artifacts.ts'
import { startGasFaucet } from './gas-faucet.ts'
import { callRpc, sendMined } from './rpc.ts'

export const DEV_CHAIN_ID = 31_337

/**
 * Where the contracts are on every dev chain: a contract's address follows from its creator and the creator's nonce,
 * and on a fresh chain the same account always creates the same contracts in the same order.
 */
export const DEV_CHAIN_ADDRESSES = {
  faucet: '0x5fbdb2315678afecb367f032d93f642f64180aa3',
  token: '0xa16e02e87b7454126e5e10d957a927a7f5b5d2be',
  multiPay: '0xe7f1725e7734ce288f8367e1bb143e90bb3f0512',
} as const

export type DevAccount = { readonly address: string; readonly privateKey: `0x${string}` }

/** Accounts that hold 10 000 native coins on every dev chain. Their keys are public: never use them elsewhere. */
export const devAccounts = {
  deployer: {
    address: '0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266',
    privateKey: '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80',
  },
  /** Signs for the HTTP gas faucet. */
  faucet: {
    address: '0xa0ee7a142d267c1f36714e4a8f75612f20a79720',
    privateKey: '0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6',
  },
  /** Free for tests and users. */
  spare: {
    address: '0x70997970c51812dc3a010c7d01b50e0d17dc79c8',
    privateKey: '0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d',
  },
} as const satisfies Record<string, DevAccount>

export type DevChainOptions = {
  /** Made if missing. Anvil's home; nothing is written elsewhere. */
  readonly dataDir: string
  /** 0, the default: a free one. */
  readonly port?: number
  readonly chainId?: number
  /** Seconds between blocks. Default: a block for each transaction, at once. */
  readonly blockTimeS?: number
  /** Keeps the chain in this file over restarts. Default: it is forgotten. */
  readonly stateFile?: string
  /** Keeps the state of old blocks, for reorganisations and questions about the past, at 180 KiB a block. */
  readonly keepHistory?: boolean
  /** The first block's time in seconds since the epoch, for runs that must repeat to the byte. Default: now. */
  readonly timestampS?: number
  readonly signal?: AbortSignal
}

export type DevChain = {
  readonly rpcUrl: string
  readonly chainId: number
  readonly pid: number
  /** Contract addresses, lower case. */
  readonly addresses: typeof DEV_CHAIN_ADDRESSES
  /** `GET <url>/0x<address>` gives 0.1 native coin to whoever has less than 0.009. */
  readonly gasFaucetUrl: string
  /** A rich account with a well-known key. */
  readonly funded: DevAccount
  /** Any JSON-RPC method of Anvil (`evm_mine`, `anvil_setBalance`, ...). */
  rpc(method: string, ...parameters: unknown[]): Promise<unknown>
  /** Does it answer, and as the right chain? Asks with a time limit. */
  isHealthy(): Promise<boolean>
  /** Resolves when Anvil is gone, wanted or not. */
  readonly exited: Promise<void>
  stop(): Promise<void>
}

/** The faucet contract's stock of native coin: 1000. */
const FAUCET_ENDOWMENT = `0x${(1000n * 10n ** 18n).toString(16)}`
const DEPLOY_GAS = '0x4c4b40'

/** Starts the chain and deploys what is not there yet. Throws `DevChainError`. */
export async function startDevChain(options: DevChainOptions): Promise<DevChain> {
  const chainId = options.chainId ?? DEV_CHAIN_ID
  await mkdir(options.dataDir, { recursive: true })
  const anvil = await startAnvil({
    arguments: anvilArguments(options, chainId),
    homeDir: options.dataDir,
    signal: options.signal,
  })
  try {
    await deploy(anvil.rpcUrl, options.blockTimeS !== undefined)
    const faucet = await startGasFaucet(anvil.rpcUrl, DEV_CHAIN_ADDRESSES.faucet, devAccounts.faucet.address)
    return describe(anvil, chainId, faucet)
  } catch (error) {
    await anvil.stop()
    throw error
  }
}

function anvilArguments(options: DevChainOptions, chainId: number): string[] {
  const flags = ['--host', '127.0.0.1', '--port', String(options.port ?? 0), '--chain-id', String(chainId)]
  // An epoch of one slot makes `safe` and `finalized` move.
  flags.push('--slots-in-an-epoch', '1')
  if (!options.keepHistory) flags.push('--prune-history')
  if (options.blockTimeS !== undefined) flags.push('--block-time', String(options.blockTimeS))
  if (options.stateFile !== undefined) flags.push('--state', options.stateFile)
  if (options.timestampS !== undefined) flags.push('--timestamp', String(options.timestampS))
  return flags
}

/** Both deployments are sent at once with their nonces fixed, then awaited. A chain from a file has them already. */
async function deploy(url: string, isSlow: boolean): Promise<void> {
  if ((await callRpc(url, 'eth_getCode', [DEV_CHAIN_ADDRESSES.multiPay, 'latest'])) !== '0x') return
  const from = devAccounts.deployer.address
  const argument = DEV_CHAIN_ADDRESSES.token.slice(2).padStart(64, '0')
  const faucet = { from, nonce: '0x0', gas: DEPLOY_GAS, value: FAUCET_ENDOWMENT, data: readArtifact('Faucet').bytecode }
  const multiPay = { from, nonce: '0x1', gas: DEPLOY_GAS, data: `${readArtifact('MultiPay').bytecode}${argument}` }
  if (isSlow) await callRpc(url, 'evm_setAutomine', [true])
  await Promise.all([sendMined(url, faucet), sendMined(url, multiPay)])
  if (isSlow) await callRpc(url, 'evm_setAutomine', [false])
}

function describe(anvil: AnvilProcess, chainId: number, faucet: { url: string; stop(): Promise<void> }): DevChain {
  return {
    rpcUrl: anvil.rpcUrl,
    chainId,
    pid: anvil.pid,
    addresses: DEV_CHAIN_ADDRESSES,
    gasFaucetUrl: faucet.url,
    funded: devAccounts.spare,
    rpc: (method, ...parameters) => callRpc(anvil.rpcUrl, method, parameters),
    isHealthy: () =>
      callRpc(anvil.rpcUrl, 'eth_chainId', []).then(
        (answer) => Number(answer) === chainId,
        () => false,
      ),
    exited: anvil.exited,
    stop: async () => {
      await faucet.stop()
      await anvil.stop()
    },
  }
}

/**
 * The environment variables that make a daemon use this chain for the named payment networks. The names are Golem's
 * where it has one (`HOODI_GETH_ADDR`, ...), so that they say the same to either kind of node.
 */
export function devChainEnvironment(
  chain: Pick<DevChain, 'rpcUrl' | 'chainId' | 'gasFaucetUrl' | 'addresses'>,
  networks: readonly string[],
): Record<string, string> {
  const environment: Record<string, string> = {}
  for (const name of networks.map((network) => network.toUpperCase())) {
    const token = ['MAINNET', 'POLYGON'].includes(name) ? 'GLM' : 'TGLM'
    environment[`${name}_GETH_ADDR`] = chain.rpcUrl
    environment[`${name}_CHAIN_ID`] = String(chain.chainId)
    environment[`${name}_${token}_CONTRACT_ADDRESS`] = chain.addresses.token
    environment[`${name}_MULTI_PAYMENT_CONTRACT_ADDRESS`] = chain.addresses.multiPay
    environment[`${name}_FAUCET_CONTRACT_ADDRESS`] = chain.addresses.faucet
    environment[`${name}_GAS_FAUCET_URL`] = chain.gasFaucetUrl
    environment[`ERC20_${name}_REQUIRED_CONFIRMATIONS`] = '0'
    environment[`ERC20_${name}_IS_LOCAL`] = 'true'
  }
  return environment
}
