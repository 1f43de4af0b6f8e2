/**
 * Transfers between the outside and the volumes of an activity, and the cache of images. `types.ts` is the page to read.
 *
 * Rules that hold for all: bytes are hashed as they pass; a file appears in a volume only when it is whole; no link in a
 * volume is followed; every size has a limit; what breaks on the way is tried again from where it broke.
 */
export { createTransfers, type TransfersDeps, type TransfersOptions } from './transfers.ts'
export type { ProgressListener, TransferContext, TransferSpec, Transfers } from './types.ts'
