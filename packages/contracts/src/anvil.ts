/** Anvil as a child process that cannot outlive its parent. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { systemClock } from '@emet/core'
import { DevChainError } from './errors.ts'

export type AnvilProcess = {
  readonly pid: number
  readonly rpcUrl: string
  /** Resolves when the process is gone, for whatever reason. */
  readonly exited: Promise<void>
  stop(): Promise<void>
}

export type AnvilOptions = {
  readonly arguments: readonly string[]
  /** Its `HOME`: by default Anvil fills `~/.foundry` with old states. */
  readonly homeDir: string
  readonly signal?: AbortSignal | undefined
}

/** From spawn until Anvil says where it listens. */
const START_TIMEOUT_MS = 10_000
/** Between a polite and an impolite end. */
const STOP_GRACE_MS = 1_500
/** How much of Anvil's output is kept for an error message. */
const LAST_WORDS_LENGTH_MAX = 2_000

/**
 * Becomes Anvil (`exec`, so the process id is Anvil's), beside a watcher that waits on our end of standard input. When
 * this process dies, even by SIGKILL, the kernel closes that end and the watcher ends Anvil. `done` is the orderly
 * farewell after which it does nothing.
 */
const WATCHED =
  'exec 3<&0; (read -r word <&3; [ "$word" = done ] || kill -KILL $$) >/dev/null 2>&1 & exec "$@" 3<&- </dev/null'

/** The binary of the installed platform package. npm's own launcher is not used: it is a second process. */
export function anvilPath(platform: string = process.platform, arch: string = process.arch): string {
  const name = `@foundry-rs/anvil-${platform === 'win32' ? 'win32' : platform}-${arch === 'x64' ? 'amd64' : arch}`
  const require = createRequire(import.meta.url)
  const file = `${name}/bin/anvil${platform === 'win32' ? '.exe' : ''}`
  for (const folder of require.resolve.paths(file) ?? []) {
    if (existsSync(`${folder}/${file}`)) return `${folder}/${file}`
  }
  throw new DevChainError('no-binary', `the local chain needs the npm package ${name}; run npm install`, { name })
}

/** Starts Anvil and resolves when it listens. */
export async function startAnvil(options: AnvilOptions): Promise<AnvilProcess> {
  options.signal?.throwIfAborted()
  const child = spawn('/bin/sh', ['-c', WATCHED, 'anvil', anvilPath(), ...options.arguments], {
    cwd: options.homeDir,
    env: { HOME: options.homeDir },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  child.stdin?.on('error', () => {})
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => {
      child.stdin?.end('done\n')
      resolve()
    })
    child.once('error', () => resolve())
  })
  try {
    const address = await listening(child, exited, options.signal)
    return { pid: child.pid ?? 0, rpcUrl: `http://${address}`, exited, stop: () => stop(child, exited) }
  } catch (error) {
    await stop(child, exited)
    throw error
  }
}

function listening(child: ChildProcess, exited: Promise<void>, signal: AbortSignal | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    const fail = (why: string) =>
      reject(new DevChainError('start-failed', `the local chain did not start: ${why}\n${said}`, { said }))
    const cancel = systemClock.setTimer(START_TIMEOUT_MS, () => fail(`no answer in ${START_TIMEOUT_MS} ms`))
    const hear = (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-LAST_WORDS_LENGTH_MAX)
      const address = /Listening on (\S+)/.exec(said)?.[1]
      if (!address) return
      cancel()
      resolve(address)
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.once('error', (error) => fail(error.message))
    void exited.then(() => {
      cancel()
      fail(`exit code ${child.exitCode}`)
    })
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

async function stop(child: ChildProcess, exited: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  child.kill('SIGTERM')
  const cancel = systemClock.setTimer(STOP_GRACE_MS, () => child.kill('SIGKILL'))
  await exited
  cancel()
}
