/**
 * A runtime executes a requestor's image. This page is the interface of all of them: `wasm` and `mock` now; the virtual
 * machine, gVisor and the runtime protocol of existing exe-units plug in behind it without a change to the supervisor.
 *
 * ## Terms
 *
 * - **Image**: the bytes to execute, a file that the supervisor has fetched and verified. Read-only, shared by activities.
 * - **Instance**: what `deploy` makes of an image for one activity. It owns a folder, and nothing outside of it.
 * - **Volume**: a folder of the instance that the guest sees at `path` and the supervisor at `hostFolder`. Transfers read
 *   and write there. The guest controls what is inside: never follow a link in it.
 * - **Command**: one execution of an entry point, with arguments, environment, three streams and an end.
 *
 * ## Lifecycle
 *
 *     offerTemplate()   what this machine can offer; before any agreement
 *     test()            a real execution on this machine; throws with what to do when it cannot work
 *     deploy()          unpack and check the image, make the volumes        -> Instance
 *       start()         once, before the first command: boot, warm up
 *       run()           any number of times, up to `commandsAtOnceMax` at once -> Command
 *     stop()            from any state, also during deploy's successor calls; kills all, resolves when nothing is left
 *
 * Nothing outlives the process that called `deploy`: when the supervisor dies, the kernel ends the guest too.
 *
 * ## Example
 *
 *     const instance = await runtime.deploy({ image, folder, limits, volumes: ['/data'], env: {}, network: [] })
 *     await instance.start([])
 *     const command = await instance.run({ entryPoint: 'main', args: ['--help'], env: {} })
 *     for await (const chunk of command.stdout) process.stdout.write(chunk)
 *     const end = await command.ended                 // { kind: 'exited', code: 0 }
 *     await instance.stop()
 *
 * ## Streams and back-pressure
 *
 * `stdout` and `stderr` must both be read to their end, or the guest waits for ever: a full pipe stops the guest, so no
 * runtime ever buffers output without bound. `ended` resolves after the guest is gone, whether or not all was read.
 *
 * ## Limits
 *
 * `limits` are those of the agreement. A runtime enforces what `capabilities.enforces` lists; the supervisor measures
 * and enforces the rest. What ends a guest is always told in `CommandEnd`, with the one to blame.
 */
import type { AbortOptions } from '@emet/core'

/** Optional powers are declared here, never discovered by failure. */
export type RuntimeCapabilities = {
  /** Commands that one instance runs at the same time. */
  readonly commandsAtOnceMax: number
  /** `one`: a command is one thread, so that commands at once are threads. `any`: the runtime divides the processors itself. */
  readonly threadsPerCommand: 'one' | 'any'
  /** Whether `run` takes standard input. */
  readonly hasStdin: boolean
  /** Whether the guest gets environment variables. */
  readonly hasEnv: boolean
  /** `frames`: the guest has network cards whose Ethernet frames `attachNetwork` carries. */
  readonly network: 'none' | 'frames'
  /** Limits that the runtime enforces by itself. */
  readonly enforces: readonly (keyof RuntimeLimits)[]
  /** Whether an activity must name an image. */
  readonly image: 'required' | 'none'
  /** `fetched`: the supervisor fetches the image. `own`: the runtime does, from the URL. */
  readonly imageSource: 'fetched' | 'own'
  /** Whether the program keeps state in memory from one command to the next (a machine does, a module does not). */
  readonly keepsMemory: boolean
}

/** What the agreement grants. Undefined means: as much as the machine has. */
export type RuntimeLimits = {
  readonly memoryBytes?: number | undefined
  readonly storageBytes?: number | undefined
  readonly cpuThreads?: number | undefined
  /** Wall time of one command. */
  readonly commandMs?: number | undefined
}

/** What an offer says about the runtime: flat properties, and constraints in the constraint language (or nothing). */
export type OfferTemplate = { readonly properties: Readonly<Record<string, unknown>>; readonly constraints: string }

/** A network card that the guest gets. */
export type NetworkCard = {
  readonly id: string
  /** The network in CIDR form, the guest's own address in it, and the gateway if there is one. */
  readonly network: string
  readonly address: string
  readonly gateway?: string
  readonly kind: 'vpn' | 'internet'
}

export type DeployRequest = {
  /** The image file; undefined only where `capabilities.image` is `none`. */
  readonly imageFile?: string | undefined
  /** An empty folder that the instance may use as it likes. */
  readonly folder: string
  readonly limits: RuntimeLimits
  /** Paths in the guest where the requestor wants further volumes. */
  readonly volumes: readonly string[]
  /** Variables that every command gets; `run` may override them. */
  readonly env: Readonly<Record<string, string>>
  readonly hostname?: string | undefined
  /** Names that the guest resolves to addresses. */
  readonly hosts?: Readonly<Record<string, string>> | undefined
  readonly network: readonly NetworkCard[]
}

/** A folder that the guest sees at `path`, an absolute path in the guest, and we at `hostFolder`. */
export type Volume = { readonly path: string; readonly hostFolder: string }

export type RunRequest = {
  readonly entryPoint: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Bytes for standard input. Undefined: it is empty. */
  readonly stdin?: AsyncIterable<Uint8Array>
}

/** How a command ended, and by that who is to blame. */
export type CommandEnd =
  /** By itself, with this code. */
  | { readonly kind: 'exited'; readonly code: number }
  /** The guest program broke a rule of its machine: an unreachable instruction, a bad memory access, no memory left. */
  | { readonly kind: 'trapped'; readonly message: string }
  /** It was ended from outside: `reason` is what `kill` or `stop` was told, or the limit that the runtime enforced. */
  | { readonly kind: 'killed'; readonly reason: string }
  /** The runtime broke. Not the guest's fault, as far as one can tell. */
  | { readonly kind: 'failed'; readonly message: string }

export interface Command {
  readonly stdout: AsyncIterable<Uint8Array>
  readonly stderr: AsyncIterable<Uint8Array>
  readonly ended: Promise<CommandEnd>
  /** Ends the guest at once. Harmless when it has ended. */
  kill(reason: string): void
}

/** One deployed image. */
export interface Instance {
  readonly volumes: readonly Volume[]
  /** A line for the requestor about what was deployed. */
  readonly message: string
  start(args: readonly string[], options?: AbortOptions): Promise<void>
  /** Fails with `RuntimeError` `bad-request` (no such entry point), `too-many-commands` or `stopped`. */
  run(request: RunRequest): Promise<Command>
  /** Counters that only the runtime knows, by usage name (`golem.usage.network.in-mib`). */
  counters(): Readonly<Record<string, number>>
  /** Kills what runs and removes what the instance made outside of its folder. Stopping twice is harmless. */
  stop(reason: string): Promise<void>
}

export interface Runtime {
  /** As in `golem.runtime.name`. */
  readonly name: string
  /** As in `golem.runtime.version`; semantic versioning. */
  readonly version: string
  readonly capabilities: RuntimeCapabilities
  offerTemplate(options?: AbortOptions): Promise<OfferTemplate>
  /** Fails with `RuntimeError` `unavailable`, whose message says what to do. */
  test(options?: AbortOptions): Promise<void>
  /** Fails with `RuntimeError` `bad-image`, `bad-request` or `unavailable`. */
  deploy(request: DeployRequest, options?: AbortOptions): Promise<Instance>
}
