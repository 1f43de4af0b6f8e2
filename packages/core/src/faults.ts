/**
 * Faults of the requestor's own input, told by an exe-unit in the words of a command's result: `[bad-image] why`. The
 * result keeps its published form, people can read it, and programs know that no other provider will do better.
 */

/** What can be wrong with what the requestor has given. */
export const REQUESTOR_FAULTS = [
  /** The image is not what the runtime takes: no module, broken, foreign imports, more memory than agreed. */
  'bad-image',
  /** The bytes of the image or file do not have the hash that was promised for them. */
  'integrity',
  /** There is nothing at the path or URL. */
  'not-found',
  /** The path leads out of the activity's folder. */
  'path-escape',
  /** The command, entry point, argument or URL is wrong. */
  'bad-request',
] as const
export type RequestorFault = (typeof REQUESTOR_FAULTS)[number]

const isRequestorFault = (code: unknown): code is RequestorFault => REQUESTOR_FAULTS.includes(code as RequestorFault)

/** The message of a result, marked when `code` is a fault of the requestor's input. */
export function markFault(code: unknown, message: string): string {
  return isRequestorFault(code) ? `[${code}] ${message}` : message
}

/** Reads a message that may be marked: the fault, if it is one, and the words alone. */
export function readFault(message: string): { readonly fault: RequestorFault | undefined; readonly text: string } {
  const [mark = '', code] = /^\[([a-z-]+)\] /.exec(message) ?? []
  return isRequestorFault(code)
    ? { fault: code, text: message.slice(mark.length) }
    : { fault: undefined, text: message }
}
