/**
 * A runtime without an engine, for tests: it executes a few built-in programs in this process. It keeps every promise
 * of the interface, the compliance suite runs on it, and `failing` makes one that fails where it is told to.
 *
 * Programs: `echo ARGS`, `cat` (stdin, or files), `write PATH TEXT`, `env NAME`, `exit CODE`, `trap`, `sleep` (until
 * killed), `spam BYTES`, `err TEXT` (to stderr).
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import { PassThrough, type Writable } from 'node:stream'
import { messageOf } from '@emet/core'
import { RuntimeError } from '../../errors.ts'
import type { Command, CommandEnd, DeployRequest, Instance, RunRequest, Runtime } from '../../runtime.ts'

/** Commands of one instance at the same time. */
const COMMANDS_AT_ONCE_MAX = 4
const CHUNK_BYTES = 16 * 1024

export type MockRuntimeOptions = {
  /** Throws at this step. */
  readonly failing?: 'test' | 'deploy' | 'start' | 'run'
}

export function createMockRuntime(options: MockRuntimeOptions = {}): Runtime {
  const failAt = (step: MockRuntimeOptions['failing']) => {
    if (options.failing === step) throw new RuntimeError('failed', `the mock runtime was told to fail at ${step}`)
  }
  return {
    name: 'mock',
    version: '1.0.0',
    capabilities: {
      commandsAtOnceMax: COMMANDS_AT_ONCE_MAX,
      threadsPerCommand: 'one',
      hasStdin: true,
      hasEnv: true,
      network: 'none',
      enforces: [],
      image: 'none',
      imageSource: 'fetched',
      keepsMemory: false,
    },
    offerTemplate: async () => ({ properties: { 'golem.runtime.mock': true }, constraints: '' }),
    test: async () => failAt('test'),
    deploy: async (request) => {
      failAt('deploy')
      return createMockInstance(request, failAt)
    },
  }
}

type Shell = {
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly stdin: AsyncIterable<Uint8Array> | undefined
  readonly stdout: Writable
  readonly stderr: Writable
  readonly killed: AbortSignal
  hostPath(path: string): string
}

async function createMockInstance(request: DeployRequest, failAt: (step: 'start' | 'run') => void): Promise<Instance> {
  const root = join(request.folder, 'root')
  for (const path of ['/', ...request.volumes]) await mkdir(join(root, posix.join('/', path)), { recursive: true })
  const running = new Set<Command>()
  let stopped: string | undefined

  const run = async (what: RunRequest): Promise<Command> => {
    failAt('run')
    if (stopped !== undefined) throw new RuntimeError('stopped', `the activity has stopped: ${stopped}`)
    if (running.size >= COMMANDS_AT_ONCE_MAX) throw new RuntimeError('too-many-commands', 'too many commands at once')
    const program = PROGRAMS[what.entryPoint]
    if (!program) throw new RuntimeError('bad-request', `Entrypoint ${what.entryPoint} not found`)
    const command = startProgram(program, what, { ...request.env, ...what.env }, root)
    running.add(command)
    void command.ended.then(() => running.delete(command))
    return command
  }
  return {
    volumes: [{ path: '/', hostFolder: root }],
    message: 'nothing',
    start: async () => failAt('start'),
    run,
    counters: () => ({}),
    stop: async (reason) => {
      stopped ??= reason
      const ends = [...running].map((command) => command.ended)
      for (const command of running) command.kill(reason)
      await Promise.all(ends)
    },
  }
}

type Program = (shell: Shell) => Promise<number>

function startProgram(program: Program, what: RunRequest, env: Record<string, string>, root: string): Command {
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const controller = new AbortController()
  const killed = new Promise<CommandEnd>((resolve) => {
    controller.signal.addEventListener('abort', () => resolve({ kind: 'killed', reason: controller.signal.reason }))
  })
  const shell: Shell = {
    ...{ args: what.args, env, stdin: what.stdin, stdout, stderr, killed: controller.signal },
    hostPath: (path) => join(root, posix.join('/', path)),
  }
  const exited = program(shell).then(
    (code): CommandEnd => ({ kind: 'exited', code }),
    (error): CommandEnd => ({ kind: 'trapped', message: messageOf(error) }),
  )
  const ended = Promise.race([exited, killed]).then((end) => {
    stdout.end()
    stderr.end()
    return end
  })
  return { stdout, stderr, ended, kill: (reason) => controller.abort(reason) }
}

/** Writes as much as the reader takes. */
async function write(to: Writable, data: string | Uint8Array, killed: AbortSignal): Promise<void> {
  if (killed.aborted || to.write(data)) return
  await new Promise<void>((resolve) => {
    to.once('drain', resolve)
    killed.addEventListener('abort', () => resolve(), { once: true })
  })
}

const PROGRAMS: Readonly<Record<string, Program>> = {
  echo: async ({ args, stdout, killed }) => {
    await write(stdout, `${args.join(' ')}\n`, killed)
    return 0
  },
  err: async ({ args, stderr, killed }) => {
    await write(stderr, `${args.join(' ')}\n`, killed)
    return 0
  },
  cat: async ({ args, stdin, stdout, killed, hostPath }) => {
    for (const path of args) await write(stdout, await readFile(hostPath(path)), killed)
    if (args.length === 0 && stdin) for await (const chunk of stdin) await write(stdout, chunk, killed)
    return 0
  },
  write: async ({ args: [path = '/out', ...words], hostPath }) => {
    await mkdir(dirname(hostPath(path)), { recursive: true })
    await writeFile(hostPath(path), words.join(' '))
    return 0
  },
  env: async ({ args: [name = ''], env, stdout, killed }) => {
    await write(stdout, `${env[name] ?? ''}\n`, killed)
    return 0
  },
  exit: async ({ args: [code = '0'] }) => Number(code),
  trap: async () => {
    throw new Error('unreachable')
  },
  sleep: ({ killed }) => new Promise((resolve) => killed.addEventListener('abort', () => resolve(0), { once: true })),
  spam: async ({ args: [bytes = '0'], stdout, killed }) => {
    for (let left = Number(bytes); left > 0 && !killed.aborted; left -= CHUNK_BYTES) {
      await write(stdout, Buffer.alloc(Math.min(left, CHUNK_BYTES), 'x'), killed)
    }
    return 0
  },
}
