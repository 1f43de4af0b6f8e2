/** The supervisor's program: composition root of an activity's process, once `main.ts` has set up the compile cache. */
import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { connectBus } from '@emet/bus/socket'
import { formatInstant, fromMs, type LogFields, type Logger, messageOf, systemClock, systemRandom } from '@emet/core'
import { AGREEMENT_BYTES_MAX, parseAgreement } from './agreement.ts'
import { ExeUnitError } from './errors.ts'
import { createLinuxMeter } from './linux-meter.ts'
import { type CliOptions, HELP, parseOptions } from './options.ts'
import { USAGE_COUNTERS } from './protocol.ts'
import type { Runtime } from './runtime.ts'
import { createMockRuntime } from './runtimes/mock/index.ts'
import { createWasmRuntime } from './runtimes/wasm/index.ts'
import { createSupervisor } from './supervisor.ts'
import { createTransfers } from './transfer/index.ts'

type Environment = Readonly<Record<string, string | undefined>>

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP'] as const

async function main(args: readonly string[], env: Environment): Promise<void> {
  const options = parseOptions(args, env)
  const runtime = runtimeOf(options)
  switch (options.command) {
    case 'help':
      return void process.stdout.write(HELP)
    case 'offer-template':
      // What does not work here must not be offered.
      await runtime.test()
      return void process.stdout.write(`${JSON.stringify(await offerTemplate(runtime))}\n`)
    case 'test':
      await runtime.test()
      return void process.stdout.write(`the runtime ${runtime.name} ${runtime.version} works on this machine\n`)
    case 'service-bus':
      return serve(options, runtime)
  }
}

async function serve(options: CliOptions, runtime: Runtime): Promise<void> {
  const [clock, random, logger] = [systemClock, systemRandom, createLineLogger()]
  if (options.busUrl === undefined) throw new ExeUnitError('bad-request', 'no bus: give --gsb-url or set GSB_URL')
  const told = signalled()
  const terms = parseAgreement(await readAgreement(options.agreementFile))
  const bus = await connectBus({ clock, random, logger }, { url: options.busUrl })
  const transfers = createTransfers({ bus, clock, random, logger }, { ...options, cacheDir: resolve(options.cacheDir) })
  const meter = createLinuxMeter(process.pid)
  const supervisor = createSupervisor(
    { bus, clock, logger, runtime, transfers, meter },
    { ...options, terms, workDir: resolve(options.workDir) },
  )
  try {
    await supervisor.start()
    await bus.registered()
    await supervisor.stop(await Promise.race([supervisor.ended, told]))
  } catch (error) {
    await supervisor.stop(messageOf(error))
    throw error
  } finally {
    bus.close()
  }
}

function runtimeOf(options: CliOptions): Runtime {
  if (options.runtime === 'mock') return createMockRuntime()
  return createWasmRuntime({ clock: systemClock }, options)
}

/** Golem: the supervisor's own template first, the runtime's values over it. */
async function offerTemplate(runtime: Runtime) {
  const { properties, constraints } = await runtime.offerTemplate()
  return { properties: { 'golem.com.usage.vector': [...USAGE_COUNTERS], ...properties }, constraints }
}

async function readAgreement(file: string): Promise<unknown> {
  if ((await stat(file)).size > AGREEMENT_BYTES_MAX) {
    throw new ExeUnitError('bad-request', `the agreement ${file} is larger than ${AGREEMENT_BYTES_MAX} bytes`)
  }
  return JSON.parse(await readFile(file, 'utf8'))
}

/** Resolves at the first signal that asks this process to end. Later ones change nothing: the end is under way. */
function signalled(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of SIGNALS) process.on(signal, () => resolve(`received ${signal}`))
  })
}

/** One JSON object per line on standard error. */
function createLineLogger(more: LogFields = {}): Logger {
  const line =
    (level: string) =>
    (message: string, fields: LogFields = {}) => {
      const time = formatInstant(fromMs(systemClock.nowMs()))
      process.stderr.write(`${JSON.stringify({ time, level, message, ...more, ...fields })}\n`)
    }
  return {
    debug: () => {},
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: (fields) => createLineLogger({ ...more, ...fields }),
  }
}

/** Runs the program and ends the process. */
export function run(args: readonly string[], env: Environment): void {
  process.stdout.on('error', () => {})
  process.stderr.on('error', () => {})
  main(args, env).then(
    () => process.exit(0),
    (error) => {
      process.stderr.write(`exe-unit: ${messageOf(error)}\n`)
      process.exit(1)
    },
  )
}
