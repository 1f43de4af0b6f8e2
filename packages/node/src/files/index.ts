/**
 * Files: what this node publishes to others and what it receives from them, behind URLs `gftp://<node id>/<name>`.
 *
 *     PUT /files/content, POST /files/publish     -> a URL that peers may read; its name is the sha3-256 of the bytes
 *     POST /files/receive                         -> a URL that a peer may write one file to; its name cannot be guessed
 *
 * Peers use the messages of GFTP (`gftp.ts`) or, if they are Emet nodes, bulk streams (`bulk.ts`), which are faster and
 * resume. What arrives is written to `<path>.part`, hashed, and put in place when its hash is right. URLs survive a
 * restart. The module also serves the bus services of REST clients (`services.ts`), which published clients use instead.
 */
export { FilesError, type FilesErrorCode } from './errors.ts'
export { createFiles } from './files.ts'
export { type FilesOptions, filesOptionsSchema } from './options.ts'
export { filesRoutes } from './routes.ts'
export { type ClientServices, createClientServices, gsbRoutes, gsbWebSockets } from './services.ts'
export type { FileRecord, Files, FilesDeps, FileView, PublishedFile, TransferOptions } from './types.ts'
