/**
 * Starts a Node script where it can do no harm: bubblewrap gives it name spaces of its own (no network, no other
 * processes), a file system of just the engine, its libraries and the folders given here, an unprivileged user without
 * capabilities, and a system call filter. There is no /proc and no /dev in it: a symbolic link planted by a guest finds
 * nothing worth opening.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { access, constants, realpath } from 'node:fs/promises'
import type { Readable, Writable } from 'node:stream'
import { promisify } from 'node:util'
import { RuntimeError } from '../../errors.ts'
import { seccompProgram } from './seccomp.ts'

/** Where `bwrap` and `prlimit` are looked for. */
const PROGRAM_FOLDERS = ['/usr/bin', '/bin', '/usr/local/bin', '/run/current-system/sw/bin']
/** The user and group that the engine believes to be. */
const NOBODY = '65534'
/** Open files of a jailed process. */
export const OPEN_FILES_MAX = 1024
/** As `/proc/<pid>/status` says it: a system call filter is on. */
const SECCOMP_FILTERED = 2
/** What is kept of the engine's complaints when it does not start. */
const BOOT_COMPLAINT_LENGTH_MAX = 2000

export type Mount = { readonly from: string; readonly to: string; readonly isWritable?: boolean }

/** What every jailed process of this machine needs, found out once. */
export type Jail = {
  readonly bubblewrap: string
  readonly prlimit: string | undefined
  readonly node: string
  readonly libraries: readonly Mount[]
  readonly filter: Uint8Array
}

export type JailedProcess = {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  /** The script's descriptor 3. */
  readonly orders: Writable
  /** The script's descriptor 4. */
  readonly reports: Readable
  /** Resolves when all processes in the jail are gone. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>
  /**
   * Whether the kernel is sure by now to end the jail when this process dies. Until then it must be given no work: it ends by
   * itself when its orders end without one, but work may never end.
   */
  isBound(): boolean
  /** Kills everything in the jail. */
  kill(): void
}

export type JailedScript = {
  readonly script: string
  readonly argument: string
  readonly mounts: readonly Mount[]
  readonly engineFlags: readonly string[]
  /** The largest file that may be written. */
  readonly fileBytesMax?: number | undefined
}

/** Finds what a jail needs. Fails with `unavailable`: not Linux, no bubblewrap, no filter for the processor. */
export async function prepareJail(options: { bubblewrap?: string | undefined; node: string }): Promise<Jail> {
  if (process.platform !== 'linux') {
    throw new RuntimeError('unavailable', `programs can be confined on Linux only, and this is ${process.platform}`)
  }
  const bubblewrap = options.bubblewrap ?? (await findProgram('bwrap'))
  if (!bubblewrap || !(await isExecutable(bubblewrap))) {
    throw new RuntimeError(
      'unavailable',
      'bubblewrap is missing, and programs of strangers are never run unconfined; install it: apt-get install bubblewrap',
      { bubblewrap },
    )
  }
  const node = await realpath(options.node)
  const filter = seccompProgram(process.arch)
  return { bubblewrap, prlimit: await findProgram('prlimit'), node, libraries: await librariesOf(node), filter }
}

/** Starts `script` in the jail. */
export function startJailed(jail: Jail, what: JailedScript): JailedProcess {
  const limits = jail.prlimit ? [jail.prlimit, ...limitArgs(what)] : []
  const [program = jail.bubblewrap, ...args] = [...limits, jail.bubblewrap, ...jailArgs(jail, what)]
  // A process group of its own: a signal to the supervisor's group must not hit a jail that is only half made.
  const child = spawn(program, args, { stdio: Array(7).fill('pipe'), env: {}, cwd: '/', detached: true })
  const [stdin, stdout, stderr, orders, reports, info, filter] = child.stdio as unknown as Streams
  for (const stream of child.stdio) stream?.on('error', () => {})
  filter.end(jail.filter)
  return { stdin, stdout, stderr, orders, reports, ended: endOf(child), ...innerProcessOf(child, info) }
}

type Streams = [Writable, Readable, Readable, Writable, Readable, Readable, Writable]

/**
 * Starts a script without a jail: only for one that gives its guest no files of the host at all. The engine's permission
 * model keeps it from starting programs, and from writing elsewhere than to the writable mounts.
 */
export function startUnjailed(node: string, what: JailedScript): JailedProcess {
  const writable = what.mounts.filter((mount) => mount.isWritable).map(({ from }) => `--allow-fs-write=${from}`)
  const flags = [...what.engineFlags, '--permission', '--allow-fs-read=*', ...writable]
  const child = spawn(node, [...flags, what.script, what.argument], {
    ...{ stdio: Array(5).fill('pipe'), env: {}, cwd: '/', detached: true },
  })
  const [stdin, stdout, stderr, orders, reports] = child.stdio as unknown as Streams
  for (const stream of child.stdio) stream?.on('error', () => {})
  const [ended, kill] = [endOf(child), () => void child.kill('SIGKILL')]
  return { stdin, stdout, stderr, orders, reports, ended, isBound: () => true, kill }
}

/** The beginning of what a process that did not start has written to its standard error. */
export async function complaintOf(process: JailedProcess): Promise<string> {
  let text = ''
  for await (const chunk of process.stderr) {
    if (text.length < BOOT_COMPLAINT_LENGTH_MAX) text += String(chunk)
  }
  return text.trim().slice(0, BOOT_COMPLAINT_LENGTH_MAX)
}

function limitArgs({ fileBytesMax }: JailedScript): string[] {
  const size = fileBytesMax === undefined ? [] : [`--fsize=${Math.max(Math.floor(fileBytesMax), 1)}`]
  return ['--core=0', `--nofile=${OPEN_FILES_MAX}`, ...size, '--']
}

function jailArgs(jail: Jail, what: JailedScript): string[] {
  const mounts = [{ from: jail.node, to: '/node' }, ...jail.libraries, { from: what.script, to: '/app/engine.mjs' }]
  return [
    ...['--unshare-all', '--die-with-parent', '--new-session', '--cap-drop', 'ALL', '--clearenv'],
    ...['--uid', NOBODY, '--gid', NOBODY, '--hostname', 'jail'],
    ...['--setenv', 'UV_USE_IO_URING', '0'],
    ...[...mounts, ...what.mounts].flatMap((mount: Mount) => [
      mount.isWritable ? '--bind' : '--ro-bind',
      mount.from,
      mount.to,
    ]),
    ...['--remount-ro', '/', '--chdir', '/', '--info-fd', '5', '--seccomp', '6'],
    ...['--', '/node', ...what.engineFlags, '/app/engine.mjs', what.argument],
  ]
}

function endOf(child: ChildProcess): JailedProcess['ended'] {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    child.once('error', () => resolve({ code: null, signal: null }))
  })
}

/**
 * Killing the first process of the jail's name space ends all others there, and lets bubblewrap collect their CPU time.
 * Bubblewrap itself is never killed: its half-made child would wait for it for ever. It tells the child's id at once, or
 * fails and ends by itself.
 */
function innerProcessOf(child: ChildProcess, info: Readable): Pick<JailedProcess, 'kill' | 'isBound'> {
  let innerPid: number | undefined
  let isWanted = false
  let text = ''
  const kill = () => {
    isWanted = true
    if (innerPid === undefined || child.exitCode !== null || child.signalCode !== null) return
    try {
      process.kill(innerPid, 'SIGKILL')
    } catch {
      // It has ended in the meantime.
    }
  }
  info.setEncoding('utf8').on('data', (chunk: string) => {
    if (innerPid !== undefined) return
    text += chunk
    innerPid = Number(/"child-pid": (\d+),/.exec(text)?.[1]) || undefined
    if (isWanted) kill()
  })
  return { kill, isBound: () => innerPid !== undefined && isFirstProcessBound(innerPid, child.pid) }
}

/**
 * Bubblewrap asks to die with its parent before it tells of the first process in the jail. That one asks as well, right
 * before it puts on the filter: so when the filter is seen on it and bubblewrap is still its parent, both are bound, one
 * to the other and to us. All others in the jail end with the first one of their name space.
 */
function isFirstProcessBound(innerPid: number, bubblewrapPid: number | undefined): boolean {
  let status: string
  try {
    status = readFileSync(`/proc/${innerPid}/status`, 'latin1')
  } catch {
    return false
  }
  const field = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1])
  return field('Seccomp') === SECCOMP_FILTERED && field('PPid') === bubblewrapPid
}

/** The shared libraries of a program, each at the place where the loader looks for it. */
async function librariesOf(program: string): Promise<Mount[]> {
  const { stdout } = await promisify(execFile)(program, [], { env: { LD_TRACE_LOADED_OBJECTS: '1' } })
  const paths = stdout.split('\n').flatMap((line) => /(\/\S+) \(0x/.exec(line)?.[1] ?? [])
  return Promise.all(paths.map(async (path) => ({ from: await realpath(path), to: path })))
}

async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of PROGRAM_FOLDERS) {
    if (await isExecutable(`${folder}/${name}`)) return `${folder}/${name}`
  }
  return undefined
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
