import { z } from 'zod'

/** A node's address: `0x` and 40 lower-case hex digits, the last 20 bytes of keccak-256 of its public key. */
export type NodeId = string & { readonly [nodeIdBrand]: never }
declare const nodeIdBrand: unique symbol

const NODE_ID = /^0x[0-9a-f]{40}$/

/** Accepts mixed case, returns lower case. */
export function parseNodeId(text: string): NodeId | undefined {
  const lower = text.toLowerCase()
  return NODE_ID.test(lower) ? (lower as NodeId) : undefined
}

/** As `parseNodeId`, for texts that are known to be right; throws otherwise. */
export function nodeId(text: string): NodeId {
  const id = parseNodeId(text)
  if (id === undefined) throw new TypeError(`not a node id: ${JSON.stringify(text)}`)
  return id
}

/** A node id in a document; any case comes in, lower case goes out. */
export const nodeIdSchema = z.codec(z.string(), z.custom<NodeId>(), {
  decode: (text, context): NodeId => {
    const id = parseNodeId(text)
    if (id !== undefined) return id
    const message = `not a node id (0x and 40 hex digits): ${JSON.stringify(text.slice(0, 100))}`
    context.issues.push({ code: 'custom', input: text, message })
    return z.NEVER
  },
  encode: (id) => id,
})

/** Role of a node in one agreement. */
export type Role = 'requestor' | 'provider'
