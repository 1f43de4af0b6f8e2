import { z } from 'zod'

/** The largest chunk served or taken in one message. Golem asks for 40 960 bytes. */
export const CHUNK_BYTES_MAX = 4 * 1024 * 1024
/** The size of chunks that we ask others for. Golem wire: everybody serves them. */
export const GFTP_CHUNK_BYTES = 40_960
/** Chunks of one download asked for at a time. */
export const GFTP_DOWNLOADS_MAX = 12
/** Chunks of one upload sent at a time. */
export const GFTP_UPLOADS_MAX = 3
/** How long one chunk may take. */
export const CHUNK_TIMEOUT_MS = 60_000
/** How far ahead of what has come a chunk of an upload may be. */
export const UPLOAD_AHEAD_BYTES_MAX = 64 * 1024 * 1024
/** Open ends of gaps in one upload. */
export const UPLOAD_GAPS_MAX = 1_024
/** URLs published and opened for upload at one time. */
export const FILES_MAX = 20_000
/** Files held open for serving. */
export const OPEN_FILES_MAX = 64
/** A file nobody has read for so long is closed. */
export const OPEN_FILE_IDLE_MS = 10_000
/** Bulk streams served at one time. */
export const BULK_STREAMS_MAX = 64
/** Bytes read from disk at a time for a bulk stream. */
export const BULK_READ_BYTES = 256 * 1024
/** The longest header of a bulk stream. */
export const BULK_HEADER_BYTES_MAX = 4_096
/** The largest piece of a file handed to a process of this node; a window of 64 of them may be under way. */
export const LOCAL_CHUNK_BYTES_MAX = 256 * 1024
/** How often a process is told about its upload. */
export const LOCAL_PROGRESS_MS = 1_000
/** Services of REST clients bound at one time. */
export const SERVICES_MAX = 1_000
/** Calls of one such service that wait for its client. */
export const SERVICE_CALLS_MAX = 1_000
/** The longest path. */
export const PATH_LENGTH_MAX = 4_096

/** Settings of the files module. */
export const filesOptionsSchema = z.object({
  /** Where bytes are kept that have no file of the user's. */
  folder: z.string().min(1),
  /** The largest file taken from a REST client or a peer. */
  fileBytesMax: z
    .int()
    .positive()
    .default(64 * 1024 ** 3),
})
export type FilesOptions = z.output<typeof filesOptionsSchema>
