import { createInterface } from 'node:readline'
import { serveGftpRequests } from '../gftp.ts'
import type { Action } from './context.ts'

/** Serves JSON-RPC on standard input and output, for programs that transfer files. Ends with its input. */
export const gftpServer: Action = async ({ client, signal }) => {
  const lines = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY, signal })
  const write = (line: string) => void process.stdout.write(`${line}\n`)
  await serveGftpRequests({ files: client().emet.files, folder: process.cwd(), write }, lines, signal)
  // An open standard input would keep the process alive after `shutdown`.
  lines.close()
  process.stdin.unref?.()
}
