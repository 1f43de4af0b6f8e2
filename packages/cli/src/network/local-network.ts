/**
 * A whole network on this machine, as real processes on loopback: an Anvil chain with the test token, a relay, providers
 * (a daemon and an agent each) and a requestor's daemon. Nothing of it is reachable from outside, and nothing needs
 * setting up. The demo uses one for a few seconds, `emet dev` keeps one.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@emet/api'
import { type DevChain, devChainEnvironment, startDevChain } from '@emet/contracts/dev-chain'
import { type Child, createProcesses, type Processes, type Ready } from './processes.ts'

/** Networks that the chain stands in for. */
const PAYMENT_NETWORKS = ['hoodi', 'holesky', 'sepolia', 'amoy', 'mainnet', 'polygon'] as const
/** What programs get that name no network. */
const DEFAULT_NETWORK = 'hoodi'
const LOOPBACK = '/ip4/127.0.0.1/tcp/0'
/** Accepted documents are paid after this, and payments due together share a transaction. */
const PAYMENT_CYCLE_MS = 200
const PAYMENT_GATHER_MS = 100
/** GLM per hour of CPU of the first provider; each further one asks a little more. */
const CPU_HOUR_GLM = 0.1
const SECONDS_PER_HOUR = 3600

export type LocalNetworkOptions = {
  readonly dir: string
  readonly providers: number
  /** The program that the processes run. */
  readonly mainFile: string
  /** REST of the requestor. Port 0: a free one. */
  readonly apiUrl?: string
  /** A fixed app key for the requestor. */
  readonly appKey?: string
  readonly chainPort?: number
  readonly onProgress: (step: string) => void
  readonly signal: AbortSignal
}

export type LocalNode = {
  readonly name: string
  readonly nodeId: string
  readonly apiUrl: string
  readonly appKey: string
}

export type LocalNetwork = {
  readonly chain: DevChain
  readonly network: string
  readonly requestor: LocalNode
  readonly providers: readonly LocalNode[]
  readonly relay: { readonly nodeId: string; readonly endpoint: string }
  /** The processes beside the chain: `relay`, `requestor`, and `provider-1` and `provider-1-agent` and so on. */
  readonly processes: readonly Child[]
  /** Rejects when a process of the network dies by itself. */
  readonly failure: Promise<never>
  stop(): Promise<void>
}

/** Starts everything, as much at once as can be, and gives the requestor test tokens. */
export async function startLocalNetwork(options: LocalNetworkOptions): Promise<LocalNetwork> {
  const { dir, onProgress, signal, mainFile } = options
  const logDir = join(dir, 'log')
  mkdirSync(logDir, { recursive: true })
  const processes = createProcesses({ logDir, mainFile })
  const { promise: interrupted, reject: interrupt } = Promise.withResolvers<never>()
  interrupted.catch(() => {})
  const onAbort = () => interrupt(signal?.reason)
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })
  let chain: Promise<DevChain> | undefined
  const stop = async () => {
    // A chain that is only starting must not be left behind.
    const stopChain = chain?.then(
      (started) => started.stop(),
      () => {},
    )
    await Promise.all([processes.stopAll(), stopChain])
  }
  try {
    onProgress('starting a chain and a relay')
    const chainOptions = { dataDir: join(dir, 'chain'), port: options.chainPort ?? 0, signal }
    const relayChild = processes.start({
      name: 'relay',
      command: (former) => ['relay', 'run', ...peerFlags(join(dir, 'relay'), former)],
      env: {},
    })
    chain = startDevChain(chainOptions)
    chain.catch(() => {})
    const [startedChain, relay] = await Promise.race([Promise.all([chain, relayChild.ready]), interrupted])
    const endpoint = String((relay['endpoints'] as string[])[0])
    const env = { ...devChainEnvironment(startedChain, PAYMENT_NETWORKS), EMET_NET_BOOTSTRAP: endpoint }

    onProgress(`starting ${options.providers} providers and a requestor`)
    const startNode = (name: string, apiUrl?: string, extraEnv: Record<string, string> = {}): Child => {
      const command = (former?: Ready) => nodeCommand(join(dir, name), apiUrl, former)
      return processes.start({ name, command, env: { ...env, ...extraEnv } })
    }
    const key = options.appKey ? { EMET_AUTOCONF_APPKEY: options.appKey } : {}
    const requestorChild = startNode('requestor', options.apiUrl, key)
    const names = Array.from({ length: options.providers }, (_, at) => `provider-${at + 1}`)
    const providerNodes = names.map((name) => startNode(name))
    const agents = names.map(async (name, at) => {
      const node = toNode(name, await (providerNodes[at] as Child).ready)
      await startAgent(processes, join(dir, name), node, at).ready
      return node
    })
    const funded = async () => {
      const node = toNode('requestor', await requestorChild.ready)
      await fund(node, signal)
      return node
    }
    const ready = Promise.all([funded(), ...agents])
    const [requestor, ...providers] = await Promise.race([ready, processes.failure, interrupted])
    return {
      chain: startedChain,
      network: DEFAULT_NETWORK,
      requestor: options.appKey ? { ...requestor, appKey: options.appKey } : requestor,
      providers,
      relay: { nodeId: String(relay['nodeId']), endpoint },
      processes: processes.children,
      failure: processes.failure,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A restarted process keeps its port: others know it by that. */
function peerFlags(dataDir: string, former: Ready | undefined): string[] {
  const [endpoint] = (former?.['endpoints'] ?? []) as string[]
  const listen = endpoint?.replace(/\/p2p\/.*$/, '') ?? LOOPBACK
  return ['--data-dir', dataDir, '--net-listen', listen, '--net-mdns', 'false']
}

const nodeCommand = (dataDir: string, apiUrl = 'http://127.0.0.1:0', former?: Ready): string[] => [
  ...['node', 'run', ...peerFlags(dataDir, former), '--api-url', String(former?.['apiUrl'] ?? apiUrl)],
  // A network of one's own need not survive a power cut.
  ...['--durability', 'crash'],
  ...['--payment-cycle-ms', String(PAYMENT_CYCLE_MS), '--payment-gather-ms', String(PAYMENT_GATHER_MS)],
]

function startAgent(processes: Processes, dataDir: string, node: LocalNode, position: number): Child {
  const providerDir = join(dataDir, 'provider')
  mkdirSync(providerDir, { recursive: true })
  writeFileSync(join(providerDir, 'presets.json'), JSON.stringify(presetsOf(position)))
  return processes.start({
    name: `${node.name}-agent`,
    command: () => [
      ...['provider', 'run', '--data-dir', dataDir, '--node-name', node.name, '--api-url', node.apiUrl],
      ...['--min-expiration', '30', '--debit-note-interval', '30'],
    ],
    env: { EMET_APPKEY: node.appKey },
  })
}

/** Each provider has a price of its own, so that there is something to choose. */
function presetsOf(position: number) {
  const cpu = (CPU_HOUR_GLM * (10 + position)) / 10 / SECONDS_PER_HOUR
  const preset = {
    name: 'wasm',
    'exeunit-name': 'wasmtime',
    'pricing-model': 'linear',
    'initial-price': 0,
    'usage-coeffs': { 'golem.usage.cpu_sec': cpu, 'golem.usage.duration_sec': cpu / 10 },
  }
  return { ver: 'V1', active: ['wasm'], presets: [preset] }
}

async function fund({ apiUrl, appKey }: LocalNode, signal: AbortSignal): Promise<void> {
  await createClient({ url: apiUrl, appKey }).emet.payment.fund({ body: { network: DEFAULT_NETWORK }, signal })
}

const toNode = (name: string, ready: Ready): LocalNode => ({
  name,
  nodeId: String(ready['nodeId']),
  apiUrl: String(ready['apiUrl']),
  appKey: String(ready['appKey']),
})
