/** The bus addresses that lead to other nodes, and how they look on the wire and at the far end. */
import { type NodeId, parseNodeId } from '@emet/core'

/** Golem wire: the classes of transport by the prefix of the address. All are the same to our own transports. */
const CLASSES = ['', '/udp', '/transfer'] as const

/** Everything below these prefixes is for other nodes. */
export const NET_PREFIXES: readonly string[] = CLASSES.flatMap((kind) => [`${kind}/net`, `${kind}/from`])

export type NetAddress = {
  /** As whom to call, when the address says so. */
  readonly from: NodeId | undefined
  readonly to: NodeId
  /** The address in the packet: `/net/<to>/…`, `/udp/net/<to>/…` or `/transfer/net/<to>/…`. */
  readonly wireAddress: string
  /** The same part at the far end: `/public/…`. */
  readonly publicAddress: string
}

const PLAIN = /^(\/udp|\/transfer)?\/net\/([^/]+)\/(.+)$/
const FROM_TO = /^(\/udp|\/transfer)?\/from\/([^/]+)\/to\/([^/]+)\/(.+)$/

/** Golem wire: undefined for an address without a path behind the node, and for ids that are none. */
export function parseNetAddress(address: string): NetAddress | undefined {
  const plain = PLAIN.exec(address)
  if (plain) return build(plain[1], undefined, plain[2], plain[3])
  const fromTo = FROM_TO.exec(address)
  const from = fromTo && parseNodeId(fromTo[2] ?? '')
  return fromTo && from ? build(fromTo[1], from, fromTo[3], fromTo[4]) : undefined
}

function build(kind = '', from: NodeId | undefined, toText = '', rest = ''): NetAddress | undefined {
  const to = parseNodeId(toText)
  if (!to) return undefined
  return { from, to, wireAddress: `${kind}/net/${to}/${rest}`, publicAddress: `/public/${rest}` }
}
