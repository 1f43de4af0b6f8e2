/** Long-running commands: the daemon, the relay, the provider. */
import { join } from 'node:path'
import { createClient } from '@emet/api'
import { type Logger, systemClock, systemRandom } from '@emet/core'
import { findDaemon, readDoor, removeDoor, writeDoor } from '../daemon.ts'
import { createLogger } from '../logging.ts'
import type { Environment, Settings } from '../settings.ts'
import { type Running, runSupervised } from '../supervised.ts'
import { readVersion } from '../version.ts'
import type { Action } from './context.ts'
import { exeUnitEnvironment } from './exe-unit-environment.ts'
import { readPasswordFile } from './secrets.ts'

const netOptions = (settings: Settings) => ({
  listen: settings.netListen,
  announce: settings.netAnnounce,
  bootstrap: settings.netBootstrap,
  mdns: settings.netMdns,
})

const identityOptions = (settings: Settings) => ({
  ...(settings.autoconfSecret ? { autoconfSecret: settings.autoconfSecret } : {}),
  ...(settings.autoconfAppKey ? { autoconfAppKey: settings.autoconfAppKey } : {}),
  ...(settings.defaultPasswordFile ? { defaultPassword: readPasswordFile(settings.defaultPasswordFile) } : {}),
})

export const nodeRun: Action = async ({ settings: { values }, output, env }) => {
  const logger = createLogger(values.logLevel)
  await runSupervised(async (): Promise<Running> => {
    const { startNode } = await import('@emet/node')
    await guard(logger)
    const { promise: ended, resolve: requestShutdown } = Promise.withResolvers<void>()
    const api = new URL(values.apiUrl)
    const node = await startNode(
      { clock: systemClock, random: systemRandom, logger, version: readVersion(), requestShutdown },
      {
        dataDir: values.dataDir,
        durability: values.durability,
        ...(values.busUrl ? { busUrl: values.busUrl } : {}),
        identity: identityOptions(values),
        net: netOptions(values),
        rest: { host: api.hostname, port: Number(api.port), allowOrigins: values.apiAllowOrigin },
        ...(values.index ? { offerIndex: {} } : {}),
        payment: { ...cycle(values), skipAllocationValidation: values.skipAllocationValidation },
        paymentNetworks: paymentVariables(env),
        ...(values.paymentNetwork ? { defaultPaymentNetwork: values.paymentNetwork } : {}),
        ...(values.paymentGatherMs ? { paymentGatherMs: values.paymentGatherMs } : {}),
      },
    )
    const { nodeId, apiUrl, busUrl, endpoints } = node
    writeDoor(values.dataDir, { apiUrl, busUrl, appKey: node.cliAppKey, pid: process.pid })
    output.done(`daemon ${nodeId} is ready: REST at ${apiUrl}, peers at ${endpoints.join(' ')}`, {
      nodeId,
      apiUrl,
      endpoints,
    })
    const stop = async () => {
      removeDoor(values.dataDir)
      await node.stop()
    }
    return { ready: { nodeId, apiUrl, busUrl, endpoints, appKey: node.cliAppKey }, ended, stop }
  })
}

/** A broken stream of a peer must not end the process; any other stray error must. */
async function guard(logger: Logger): Promise<void> {
  const { guardStrayErrors } = await import('@emet/net/libp2p')
  guardStrayErrors(process, logger, (error) => {
    logger.error('a part of the daemon failed where nobody listened', { error })
    process.exit(1)
  })
}

const cycle = ({ paymentCycleMs }: Settings) =>
  paymentCycleMs === 0
    ? {}
    : { testnetCycleIntervalMs: paymentCycleMs, testnetExtraPayTimeMs: 0, mainnetCycleIntervalMs: paymentCycleMs }

/** The variables that override payment networks, and nothing else of the environment: secrets are in it. */
const PAYMENT_VARIABLE =
  /^[A-Z0-9_]+_(GETH_ADDR|CHAIN_ID|CONTRACT_ADDRESS|GAS_FAUCET_URL|MAX_FEE_PER_GAS|PRIORITY_FEE|REQUIRED_CONFIRMATIONS|IS_LOCAL)$/

export function paymentVariables(env: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && PAYMENT_VARIABLE.test(entry[0]),
    ),
  )
}

export const relayRun: Action = async ({ settings: { values }, output }) => {
  const logger = createLogger(values.logLevel)
  await runSupervised(async (): Promise<Running> => {
    const { startRelay } = await import('@emet/node/relay')
    await guard(logger)
    const relay = await startRelay(
      { clock: systemClock, random: systemRandom, logger },
      { dataDir: values.dataDir, identity: identityOptions(values), net: netOptions(values) },
    )
    const { nodeId, endpoints } = relay
    output.done(`relay ${nodeId} is ready: peers at ${endpoints.join(' ')}`, { nodeId, endpoints })
    return { ready: { nodeId, endpoints }, stop: relay.stop }
  })
}

export const providerRun: Action = async ({ settings, output, env }, _args, flags) => {
  const { values } = settings
  const logger = createLogger(values.logLevel)
  await runSupervised(async (): Promise<Running> => {
    const { createProviderAgent } = await import('@emet/provider')
    const { createConfigFolder, createExeUnits, readMachine } = await import('@emet/provider/host')
    const { chooseWasmUnit } = await import('./isolation.ts')
    const providerDir = String(flags['providerDir'] ?? env['DATA_DIR'] ?? join(values.dataDir, 'provider'))
    const folder = createConfigFolder(systemClock, providerDir)
    const deps = { clock: systemClock, logger }
    const busUrl = values.busUrl || readDoor(values.dataDir)?.busUrl || `unix:${join(values.dataDir, 'bus.sock')}`
    const unitOptions = { dataDir: providerDir, busUrl, env: exeUnitEnvironment(env) }
    const wasmUnit = await chooseWasmUnit({
      node: process.execPath,
      allowInMemory: flags['allowInMemory'] === true || env['EMET_ALLOW_IN_MEMORY'] === '1',
      works: async (unit) => {
        const units = createExeUnits(deps, { ...unitOptions, descriptors: [unit] })
        return (await units.runtimes()).length > 0
      },
    })
    const exeUnits = createExeUnits(deps, { ...unitOptions, descriptors: [wasmUnit] })
    const client = createClient(findDaemon(settings, env))
    const agent = createProviderAgent(
      { ...deps, client, exeUnits, folder, machine: readMachine(providerDir) },
      providerOptions(flags, env),
    )
    await agent.start()
    const { nodeId, presets } = agent.status()
    output.done(`provider ${nodeId} sells ${presets.join(', ') || 'nothing: no preset is active'}`, agent.status())
    return { ready: { nodeId, presets }, stop: () => agent.stop() }
  })
}

function providerOptions(flags: Readonly<Record<string, unknown>>, env: Readonly<Record<string, string | undefined>>) {
  const nodeName = flags['nodeName'] ?? env['EMET_NODE_NAME'] ?? env['NODE_NAME']
  const subnet = flags['subnet'] ?? env['EMET_SUBNET'] ?? env['SUBNET'] ?? env['YAGNA_SUBNET']
  const networks = flags['paymentNetwork'] ?? env['EMET_PAYMENT_NETWORKS'] ?? env['YA_PAYMENT_NETWORK']
  const max = flags['maxAgreements'] ?? env['MAX_SIMULTANEOUS_AGREEMENTS']
  return {
    ...(nodeName ? { nodeName: String(nodeName) } : {}),
    ...(subnet ? { subnet: String(subnet) } : {}),
    ...(networks ? { paymentNetworks: Array.isArray(networks) ? networks : String(networks).split(',') } : {}),
    negotiation: {
      ...(max ? { maxSimultaneousAgreements: Number(max) } : {}),
      ...(flags['minExpiration'] ? { minExpirationSec: Number(flags['minExpiration']) } : {}),
      ...(flags['debitNoteInterval'] ? { debitNoteIntervalSec: Number(flags['debitNoteInterval']) } : {}),
    },
  }
}

export const nodeStop: Action = async ({ client, output, signal }) => {
  await client().emet.node.shutdown({ signal })
  output.done('the daemon stops')
}
