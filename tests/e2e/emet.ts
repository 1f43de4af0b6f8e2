/** Runs the `emet` command as a user does, in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const HOME = join(import.meta.dirname, '..', '..')
const MAIN = join(HOME, 'packages', 'cli', 'src', 'main.ts')

export type Finished = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

export type Sandbox = {
  readonly dir: string
  /** Runs a command to its end. */
  emet(...args: string[]): Promise<Finished>
  /** Starts a command and leaves it running. */
  start(...args: string[]): ChildProcess
  /** Processes that mention this sandbox: what a command has left behind. */
  leftovers(): string[]
  remove(): void
}

export function createSandbox(): Sandbox {
  const dir = mkdtempSync(join(tmpdir(), 'emet-e2e-'))
  const env = {
    PATH: process.env['PATH'],
    HOME: dir,
    TMPDIR: dir,
    EMET_DATADIR: join(dir, 'node'),
    EMET_DEV_DIR: join(dir, 'dev'),
    NODE_COMPILE_CACHE: join(HOME, 'node_modules', '.cache', 'node'),
  }
  const start = (...args: string[]) => spawn(process.execPath, [MAIN, ...args], { cwd: dir, env })
  return {
    dir,
    start,
    emet: (...args) => finish(start(...args)),
    leftovers: () => processesMentioning(dir),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
}

export function finish(child: ChildProcess): Promise<Finished> {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (chunk) => (stdout += chunk))
  child.stderr?.on('data', (chunk) => (stderr += chunk))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** Resolves as soon as the process has printed `text`; rejects when it ends without. */
export function printed(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let all = ''
    const look = (chunk: Buffer) => {
      all += chunk
      if (all.includes(text)) resolve()
    }
    child.stdout?.on('data', look)
    child.stderr?.on('data', look)
    child.on('close', () => reject(new Error(`${JSON.stringify(text)} is not in: ${all.slice(-2000)}`)))
  })
}

/** Command lines, each after its pid, of the processes that mention a text. */
export function processesMentioning(text: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
        return command.includes(text) ? [`${pid} ${command}`] : []
      } catch {
        return []
      }
    })
}

export type DevNetwork = {
  readonly nodeId: string
  readonly apiUrl: string
  readonly appKey: string
  readonly providers: readonly { readonly nodeId: string }[]
}

/** Starts `emet dev` on a free port. Throws with what it printed when it does not start. */
export async function startDev(sandbox: Sandbox, providers: number): Promise<DevNetwork> {
  const port = ['--api-url', 'http://127.0.0.1:0']
  const { code, stdout, stderr } = await sandbox.emet('dev', '--json', '--providers', String(providers), ...port)
  if (code !== 0) throw new Error(`emet dev exited with ${code}: ${stderr}`)
  return JSON.parse(stdout)
}

/** Stops it and removes the sandbox. Returns the processes that are left: there must be none. */
export async function endDev(sandbox: Sandbox): Promise<string[]> {
  await sandbox.emet('dev', 'stop')
  const left = sandbox.leftovers()
  sandbox.remove()
  return left
}
