import type { AbortOptions, LinearPricing } from '@emet/core'
import type { SdkEvent, SdkListener } from './events.ts'

/** An amount of the token: wei, or a decimal text such as `'0.25'`. */
export type Money = bigint | string

/** What to run, and on which runtime. Bytes and paths are published to the provider from the daemon's machine. */
export type Payload =
  | { readonly bytes: Uint8Array; readonly runtime?: string }
  /** A file on the daemon's machine, by its absolute path. */
  | { readonly path: string; readonly runtime?: string }
  /** A file anyone can fetch, and its SHA3 (224 to 512 bits) in hex. */
  | { readonly url: string; readonly sha3: string; readonly runtime?: string }
  /** A runtime that needs no image. */
  | { readonly runtime: string }

/** Which machines will do. */
export type RentSpec = {
  readonly payload: Payload
  readonly threads?: number
  readonly memoryGib?: number
  readonly storageGib?: number
  /** How long it may be needed, at most. Default `RENTAL_DURATION_MS`. */
  readonly durationMs?: number
  /** Further conditions on offers, such as `(golem.inf.cpu.architecture=x86_64)`. */
  readonly constraints?: readonly string[]
  /** Further properties of the demand. */
  readonly properties?: Readonly<Record<string, unknown>>
  /** Providers that must not be taken. */
  readonly avoid?: readonly string[]
  /** The only providers that may be taken. */
  readonly only?: readonly string[]
  /** Environment of the programs, where the runtime supports it. */
  readonly env?: Readonly<Record<string, string>>
}

/** Limits of the phases, in milliseconds. A limit ends its own phase and no other. */
export type Limits = {
  /** Until a provider has answered with an offer we can sign. */
  readonly find?: number
  /** Until a provider has signed. */
  readonly negotiate?: number
  readonly deploy?: number
  readonly start?: number
  /** A rental unused for this long is ended. */
  readonly idle?: number
  /** Ending, the wait for the invoice included. */
  readonly finish?: number
}

/** Hard limits on money. */
export type Budget = {
  /** All that may be spent. So much is reserved, and nothing above it is ever accepted. */
  readonly max: Money
  /** Offers that cost more in an hour of full use are left out. */
  readonly perHour?: Money
}

export type RentOptions = AbortOptions & {
  readonly budget: Budget
  readonly limits?: Limits
  /** Other providers tried after a failure before start. Default `RENT_RETRIES`. */
  readonly retries?: number
  /** Uses this allocation, and does not release it. */
  readonly allocationId?: string
}

/** What a market scan found. Prices are wei for an hour of full use of what is asked for. */
export type Quote = {
  readonly offers: readonly QuotedOffer[]
  readonly cheapestPerHour: bigint | undefined
  readonly medianPerHour: bigint | undefined
}

export type QuotedOffer = {
  readonly offerId: string
  readonly providerId: string
  readonly name: string
  readonly pricing: LinearPricing
  readonly perHour: bigint
  readonly threads: number | undefined
  readonly memoryGib: number | undefined
  readonly storageGib: number | undefined
}

/** The account of a rental. Amounts are wei. */
export type Receipt = {
  readonly providerId: string
  readonly providerName: string
  readonly agreementId: string
  readonly activityId: string | undefined
  readonly pricing: LinearPricing
  readonly seconds: number
  /** Last known usage by counter. */
  readonly usage: Readonly<Record<string, number>>
  /** What the agreed prices make of the last known usage. */
  readonly agreed: bigint
  readonly invoiceId: string | undefined
  /** Accepted for payment. */
  readonly accepted: bigint
  /** Seen on chain. */
  readonly paid: bigint
  /** Accepted and not yet seen on chain. */
  readonly pending: bigint
  /** Bills that were refused, and why. */
  readonly refused: readonly string[]
  readonly transactions: readonly string[]
}

export type RunOptions = AbortOptions & {
  /** Kills the program after this long. */
  readonly timeoutMs?: number
  /** Hands output over as bytes. Default: text. */
  readonly binary?: boolean
  /** Most bytes kept and streamed of each of stdout and stderr. */
  readonly outputBytesMax?: number
  /** Resolve for any exit code. Default: a code other than 0 rejects with `command.failed`. */
  readonly anyExitCode?: boolean
}

export type RunResult = {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  /** The bytes, when `binary` was asked for. */
  readonly stdoutBytes: Uint8Array
  readonly stderrBytes: Uint8Array
  readonly seconds: number
  readonly message: string | undefined
}

/** A running program: await it for the result, iterate it for lines of stdout, or read its streams. */
export interface RunHandle extends PromiseLike<RunResult>, AsyncIterable<string> {
  readonly result: Promise<RunResult>
  readonly exitCode: Promise<number>
  /** Each call starts at the beginning. */
  stdout(): ReadableStream<Uint8Array>
  stderr(): ReadableStream<Uint8Array>
  lines(of?: 'stdout' | 'stderr'): AsyncIterable<string>
  /** Stops the program. Others of the same rental end with it; the next `run` starts the machine afresh. */
  kill(reason?: unknown): void
}

export type TransferOptions = AbortOptions & {
  readonly onProgress?: (bytes: number, total: number | undefined) => void
}

/** A machine that has been rented. */
export interface Rental extends AsyncDisposable {
  readonly number: number
  readonly providerId: string
  readonly providerName: string
  readonly agreementId: string
  readonly activityId: string
  readonly pricing: LinearPricing
  /** Aborts when the rental has ended, whoever ended it; the reason says why. */
  readonly ended: AbortSignal
  /** Starts a program: the entry point of the runtime, and its arguments. A bare WASM module has the entry point `main`. */
  run(program: string, args?: readonly string[], options?: RunOptions): RunHandle
  /** The lines of a program's stdout, as they come. */
  stream(program: string, args?: readonly string[], options?: RunOptions): AsyncIterable<string>
  /** Copies bytes, or a file on the daemon's machine, to a path on the rented machine. */
  put(source: Uint8Array | { readonly path: string }, to: string, options?: TransferOptions): Promise<void>
  /** Fetches a file from the rented machine. */
  get(from: string, options?: TransferOptions): Promise<Uint8Array>
  /** Fetches a file into a file on the daemon's machine. `format: 'tar'` fetches a folder as an archive. */
  getTo(from: string, to: { readonly path: string }, options?: TransferOptions & { format?: string }): Promise<void>
  /** Copies several files in one go. */
  putAll(files: readonly { readonly path: string; readonly to: string }[], options?: TransferOptions): Promise<void>
  /** Usage by counter, as the provider reports it now. */
  usage(options?: AbortOptions): Promise<Readonly<Record<string, number>>>
  /** The account so far. */
  receipt(): Receipt
  /** Ends the rental: stops the machine, ends the agreement, waits for the invoice. Bounded by `limits.finish`. */
  close(reason?: string): Promise<Receipt>
  /** Waits until everything accepted has been seen on chain. */
  settled(options?: AbortOptions): Promise<Receipt>
}

export type MapOptions = RentOptions & {
  /** Rentals at a time. */
  readonly machines: number
  /** How often one item may be tried again, each time on another provider. Default 2. */
  readonly itemRetries?: number
  /** Results in the order of the items, or as they are done. Default `done`. */
  readonly order?: 'items' | 'done'
}

export type MapResult<T, R> = {
  readonly index: number
  readonly item: T
  readonly value: R
  readonly attempts: number
  readonly providerId: string
  readonly seconds: number
}

/** A parallel iteration. Iterate it once; stopping early ends the rentals. */
export interface MapRun<T, R> extends AsyncIterable<MapResult<T, R>> {
  /** All rentals so far, ended ones included. */
  readonly rentals: readonly Rental[]
}

/** A connection to a daemon. */
export interface Session extends AsyncDisposable {
  readonly nodeId: string
  /** What the market offers now, without any promise or cost. */
  quote(spec: RentSpec, options?: AbortOptions & { readonly perHour?: Money }): Promise<Quote>
  rent(spec: RentSpec, options: RentOptions): Promise<Rental>
  /** Does `task` for each item on rented machines. */
  map<T, R>(
    items: Iterable<T> | AsyncIterable<T>,
    task: (item: T, machine: Rental, signal: AbortSignal) => Promise<R>,
    spec: RentSpec,
    options: MapOptions,
  ): MapRun<T, R>
  on(listener: SdkListener): () => void
  events(options?: AbortOptions): AsyncIterable<SdkEvent>
  /** Ends all rentals. */
  close(): Promise<void>
}
