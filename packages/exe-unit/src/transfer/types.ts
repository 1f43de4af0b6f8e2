/**
 * Transfers move bytes between a place outside (`gftp:`, `http:`, `https:`) and a volume of the activity (`container:`),
 * and fetch images into a cache. `file:` is never a place: a requestor has no business with the provider's files.
 */
import type { Volume } from '../runtime.ts'
import type { FileSet } from '../script.ts'

/** Told as bytes pass; `total` when it is known. */
export type ProgressListener = (bytes: number, total: number | undefined) => void

export type TransferSpec = {
  readonly from: string
  readonly to: string
  /** Golem: `tar`, `tar.gz`, `zip`, `zip.0`: a folder is packed on its way out, or unpacked on its way in. */
  readonly format?: string | undefined
  /** How deep a folder is packed. */
  readonly depth?: number | undefined
  readonly fileSet?: FileSet | undefined
}

export type TransferContext = {
  readonly volumes: readonly Volume[]
  readonly signal: AbortSignal
  readonly onProgress: ProgressListener
}

export interface Transfers {
  /** Fails with `ExeUnitError`. */
  transfer(spec: TransferSpec, context: TransferContext): Promise<void>
  /** Fetches an image by `hash:sha3:<hex>:<url>`, or finds it in the cache. Fails with `ExeUnitError`. */
  fetchImage(
    taskPackage: string,
    options: { readonly signal: AbortSignal; readonly onProgress: ProgressListener },
  ): Promise<{ readonly file: string; readonly isCached: boolean }>
}

/** Bytes that can be read, and read again from a later point. */
export interface Source {
  /** Undefined when the other side does not say. */
  size(signal: AbortSignal): Promise<number | undefined>
  read(offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>
}

/** A place that takes bytes. */
export interface Sink {
  /** Called once per attempt, with everything from the beginning. */
  write(bytes: AsyncIterable<Uint8Array>, size: number | undefined, signal: AbortSignal): Promise<void>
}
