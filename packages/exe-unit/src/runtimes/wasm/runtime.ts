import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AbortOptions, Clock } from '@emet/core'
import { RuntimeError } from '../../errors.ts'
import { WASM_RUNTIME_NAME, WASM_RUNTIME_VERSION } from '../../protocol.ts'
import type { Instance, Runtime } from '../../runtime.ts'
import { commandsAtOnceMax, createInstance } from './handle.ts'
import { type Jail, prepareJail } from './jail.ts'

/** A module of 100 bytes whose `_start` exits with this code. */
const SELF_TEST_MODULE =
  'AGFzbQEAAAABCAJgAX8AYAAAAiQBFndhc2lfc25hcHNob3RfcHJldmlldzEJcHJvY19leGl0AAADAgEBBQMBAAEGBwF/AUHACAsHEwIGbWVtb3J5AgAGX3N0YXJ0AAEKDQELAEEqEICAgIAAAAs='
const SELF_TEST_CODE = 42
const SELF_TEST_MEMORY_BYTES = 256 * 1024 * 1024

export type WasmRuntimeOptions = {
  /** Path of bubblewrap. Default: searched in the usual folders. */
  readonly bubblewrap?: string | undefined
  /**
   * `jailed` (default): every program runs in bubblewrap, or not at all. `in-memory`: without bubblewrap, on a file system
   * that is a copy in memory; only V8 itself then stands between the program and the host.
   */
  readonly confinement?: 'jailed' | 'in-memory' | undefined
}

/** WASI preview 1 programs on V8, each in a jailed process of its own. */
export function createWasmRuntime(deps: { readonly clock: Clock }, options: WasmRuntimeOptions = {}): Runtime {
  const isJailed = options.confinement !== 'in-memory'
  let prepared: Promise<Jail> | undefined
  const jail = () => {
    prepared ??= prepareJail({ bubblewrap: options.bubblewrap, node: process.execPath })
    return prepared
  }
  const deploy: Runtime['deploy'] = async (request, abort: AbortOptions = {}) =>
    createInstance({ clock: deps.clock, jail: isJailed ? await jail() : undefined }, request, abort)

  return {
    name: WASM_RUNTIME_NAME,
    version: WASM_RUNTIME_VERSION,
    capabilities: {
      commandsAtOnceMax: commandsAtOnceMax(isJailed),
      threadsPerCommand: 'one',
      hasStdin: true,
      hasEnv: true,
      network: 'none',
      enforces: ['memoryBytes', 'commandMs'],
      image: 'required',
      imageSource: 'fetched',
      keepsMemory: false,
    },
    offerTemplate: async () => ({
      properties: {
        'golem.runtime.wasm.abi': ['wasi_snapshot_preview1', 'wasi_unstable'],
        'golem.runtime.wasm.isolation': isJailed ? 'bubblewrap' : 'in-memory',
      },
      constraints: '',
    }),
    test: (abort = {}) => selfTest(deploy, abort),
    deploy,
  }
}

/** Runs a module that exits with a known code. */
async function selfTest(deploy: Runtime['deploy'], abort: AbortOptions): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'emet-wasm-test-'))
  let instance: Instance | undefined
  try {
    const imageFile = join(folder, 'test.wasm')
    await writeFile(imageFile, Buffer.from(SELF_TEST_MODULE, 'base64'))
    const limits = { memoryBytes: SELF_TEST_MEMORY_BYTES }
    instance = await deploy({ imageFile, folder, limits, volumes: [], env: {}, network: [] }, abort)
    const command = await instance.run({ entryPoint: 'main', args: [] })
    const end = await command.ended
    if (end.kind === 'exited' && end.code === SELF_TEST_CODE) return
    throw new RuntimeError('unavailable', `the self-test of the wasm runtime failed: ${JSON.stringify(end)}`)
  } finally {
    await instance?.stop('the self-test is over')
    await rm(folder, { recursive: true, force: true })
  }
}
