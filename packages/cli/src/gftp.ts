/**
 * The `gftp` command that programs for Golem start for their file transfers: JSON-RPC 2.0 on standard input and output, one
 * object per line. Golem: `gftp server`; methods `version`, `publish`, `close`, `receive`, `download`, `upload`, `shutdown`.
 * It works through the daemon's REST API, and closes in the end what it has opened.
 */
import { isAbsolute, resolve } from 'node:path'
import type { Client } from '@emet/api'
import { messageOf } from '@emet/core'
import { z } from 'zod'

/** The version that clients are told. Golem: they only look at whether it begins like a version. */
const GFTP_VERSION = '0.3.0'
/** The longest request. */
const LINE_LENGTH_MAX = 1024 * 1024
/** Files or URLs of one request. */
const ITEMS_MAX = 10_000

/** Golem: the codes of JSON-RPC 2.0, and -32000 for what the transfer itself did. */
const CODES = { parse: -32_700, request: -32_600, method: -32_601, params: -32_602, service: -32_000 } as const

export type GftpDeps = {
  readonly files: Client['emet']['files']
  /** The folder that relative paths start from. */
  readonly folder: string
  /** Writes a line to the client. */
  readonly write: (line: string) => void
}

const requestSchema = z.object({
  jsonrpc: z.literal('2.0'),
  id: z.union([z.string(), z.number(), z.null()]).optional(),
  method: z.string(),
  params: z.unknown().optional(),
})
const path = z.string().min(1)
const url = z.string().min(1)

class RpcError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

/** Answers requests, one after the other, until `shutdown`, the end of the lines, or the signal. */
export async function serveGftpRequests(
  deps: GftpDeps,
  lines: AsyncIterable<string>,
  signal: AbortSignal,
): Promise<void> {
  const opened = new Set<string>()
  const methods = createMethods(deps, opened, signal)
  try {
    for await (const line of lines) {
      if (line.trim() === '') continue
      const isLast = await answerLine(line, methods, deps.write)
      if (isLast || signal.aborted) return
    }
  } finally {
    for (const one of opened) await deps.files.close({ query: { url: one } }).catch(() => {})
  }
}

type Methods = Readonly<Record<string, (params: unknown) => Promise<unknown>>>

function createMethods({ files, folder }: GftpDeps, opened: Set<string>, signal: AbortSignal): Methods {
  const absolute = (file: string) => (isAbsolute(file) ? file : resolve(folder, file))
  return {
    version: async () => GFTP_VERSION,
    publish: async (params) => {
      const given = parseParams(z.object({ files: z.array(path).max(ITEMS_MAX) }), params)
      const published: { file: string; url: string }[] = []
      for (const file of given.files) {
        const made = await files.publish({ body: { path: absolute(file) }, signal })
        opened.add(made.url)
        published.push({ file, url: made.url })
      }
      return published
    },
    close: async (params) => {
      const given = parseParams(z.object({ urls: z.array(url).max(ITEMS_MAX) }), params)
      const statuses: string[] = []
      for (const one of given.urls) {
        const isClosed = await files.close({ query: { url: one }, signal }).then(
          () => opened.delete(one) || true,
          () => false,
        )
        statuses.push(isClosed ? 'ok' : 'error')
      }
      return statuses
    },
    receive: async (params) => {
      const { output_file: file } = parseParams(z.object({ output_file: path }), params)
      const made = await files.receive({ body: { path: absolute(file) }, signal })
      opened.add(made.url)
      return { file, url: made.url }
    },
    download: async (params) => {
      const given = parseParams(z.object({ url, output_file: path }), params)
      await files.download({ body: { url: given.url, path: absolute(given.output_file) }, signal })
      return { file: given.output_file, url: given.url }
    },
    upload: async (params) => {
      const given = parseParams(z.object({ url, file: path }), params)
      await files.upload({ body: { url: given.url, path: absolute(given.file) }, signal })
      return { file: given.file, url: given.url }
    },
    shutdown: async () => 'ok',
  }
}

/** Answers one request. Returns whether it was the last. */
async function answerLine(line: string, methods: Methods, write: GftpDeps['write']): Promise<boolean> {
  let id: string | number | null = null
  try {
    const request = parseRequest(line)
    id = request.id ?? null
    const method = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined
    if (!method) throw new RpcError(CODES.method, `unknown method ${JSON.stringify(request.method.slice(0, 100))}`)
    const result = await method(request.params ?? {})
    // JSON-RPC: a request without an id wants no answer.
    if (request.id !== undefined) write(JSON.stringify({ jsonrpc: '2.0', id, result }))
    return request.method === 'shutdown'
  } catch (error) {
    const code = error instanceof RpcError ? error.code : CODES.service
    write(JSON.stringify({ jsonrpc: '2.0', id, error: { code, message: messageOf(error) } }))
    return false
  }
}

function parseRequest(line: string): z.output<typeof requestSchema> {
  if (line.length > LINE_LENGTH_MAX) throw new RpcError(CODES.request, `longer than ${LINE_LENGTH_MAX} characters`)
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    throw new RpcError(CODES.parse, `not JSON: ${messageOf(error)}`)
  }
  const parsed = requestSchema.safeParse(value)
  if (parsed.success) return parsed.data
  throw new RpcError(CODES.request, `not a JSON-RPC 2.0 request: ${z.prettifyError(parsed.error)}`)
}

function parseParams<S extends z.ZodType>(schema: S, params: unknown): z.output<S> {
  const parsed = schema.safeParse(params)
  if (parsed.success) return parsed.data
  throw new RpcError(CODES.params, `params: ${z.prettifyError(parsed.error)}`)
}
