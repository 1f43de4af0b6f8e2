/** `emet dev`: keeps a local network for one's own programs, in the background until `emet dev stop`. */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CliError } from '../errors.ts'
import { type DevNetwork, devDir, findDevNetwork, forgetDevNetwork, writeDevNetwork } from '../network/dev-network.ts'
import { startLocalNetwork } from '../network/local-network.ts'
import { type Running, runSupervised } from '../supervised.ts'
import type { Action, CommandContext } from './context.ts'

/** The app key of the development network: constant, so that it can be exported once. */
const APP_KEY = 'emet-dev'
const API_URL = 'http://127.0.0.1:7465'
const START_TIMEOUT_MS = 60_000
const POLL_MS = 100
const STOP_TIMEOUT_MS = 10_000

export const dev: Action = async (context, [action = 'start'], flags) => {
  if (action === 'status') return showStatus(context)
  if (action === 'stop') return stopNetwork(context)
  if (action !== 'start') throw new CliError('bad-argument', `emet dev ${action}: there are start, status and stop`)
  const running = findDevNetwork(context.env)
  if (running) return show(context, running, 'a network is running already')
  if (flags['foreground'] === true || context.env['EMET_DEV_CHILD']) return runNetwork(context, flags)
  await startInBackground(context, flags)
}

async function runNetwork(context: CommandContext, flags: Readonly<Record<string, unknown>>): Promise<void> {
  const dir = devDir(context.env)
  const runDir = join(dir, 'run')
  rmSync(runDir, { recursive: true, force: true })
  mkdirSync(runDir, { recursive: true, mode: 0o700 })
  await runSupervised(async (signal): Promise<Running> => {
    const apiUrl = context.settings.sources.apiUrl === 'default' ? API_URL : context.settings.values.apiUrl
    const network = await startLocalNetwork({
      dir: runDir,
      providers: Number(flags['providers'] ?? 2),
      mainFile: fileURLToPath(new URL('../main.ts', import.meta.url)),
      apiUrl,
      appKey: APP_KEY,
      onProgress: (step) => process.stderr.write(`${step}\n`),
      signal,
    })
    const { requestor, providers, chain } = network
    const facts: DevNetwork = {
      pid: process.pid,
      apiUrl: requestor.apiUrl,
      appKey: requestor.appKey,
      nodeId: requestor.nodeId,
      rpcUrl: chain.rpcUrl,
      network: network.network,
      providers: providers.map(({ name, nodeId, apiUrl }) => ({ name, nodeId, apiUrl })),
    }
    writeDevNetwork(context.env, facts)
    if (!context.env['EMET_DEV_CHILD']) show(context, facts, 'the network is running; Ctrl-C ends it')
    const stop = async () => {
      forgetDevNetwork(context.env)
      await network.stop()
      rmSync(runDir, { recursive: true, force: true })
    }
    return { ready: facts, stop, ended: network.failure }
  })
}

async function startInBackground(context: CommandContext, flags: Readonly<Record<string, unknown>>): Promise<void> {
  const dir = devDir(context.env)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const logFile = join(dir, 'dev.log')
  const log = openSync(logFile, 'w')
  const apiUrl = context.settings.sources.apiUrl === 'default' ? [] : ['--api-url', context.settings.values.apiUrl]
  const args = [process.argv[1] as string, 'dev', 'start', '--providers', String(flags['providers'] ?? 2), ...apiUrl]
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, EMET_DEV_CHILD: '1' },
  })
  closeSync(log)
  child.unref()
  process.stderr.write('starting a network...\n')
  for (let waitedMs = 0; waitedMs < START_TIMEOUT_MS; waitedMs += POLL_MS) {
    const network = findDevNetwork(context.env)
    if (network) return show(context, network, 'the network is running')
    if (child.exitCode !== null) break
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  const tail = existsSync(logFile) ? readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-15).join('\n') : ''
  throw new CliError('child-failed', `the network did not start. The end of ${logFile}:\n${tail}`)
}

function show({ output }: CommandContext, network: DevNetwork, headline: string): void {
  if (output.isJson) {
    output.record(network)
    return
  }
  output.line(
    `${headline}: ${network.providers.length} providers, REST at ${network.apiUrl}, chain at ${network.rpcUrl}`,
  )
  output.line('')
  output.line(`export EMET_API_URL=${network.apiUrl} EMET_APPKEY=${network.appKey}`)
  output.line(`export YAGNA_API_URL=${network.apiUrl} YAGNA_APPKEY=${network.appKey}   # for existing Golem programs`)
}

function showStatus(context: CommandContext): void {
  const network = findDevNetwork(context.env)
  if (!network) throw new CliError('no-network', 'no development network is running; start one with `emet dev`')
  show(context, network, 'running')
}

async function stopNetwork(context: CommandContext): Promise<void> {
  const network = findDevNetwork(context.env)
  if (!network) return context.output.done('no development network is running')
  process.kill(network.pid, 'SIGTERM')
  for (let waitedMs = 0; waitedMs < STOP_TIMEOUT_MS; waitedMs += POLL_MS) {
    if (!isAlive(network.pid)) return context.output.done('the network has stopped')
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  throw new CliError(
    'child-failed',
    `the network (process ${network.pid}) does not stop; see ${join(devDir(context.env), 'dev.log')}`,
  )
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
