/**
 * The relays' Kademlia table: signed records by NodeId, so that a node is found whose relay none of ours is connected
 * to. Relays alone take part: a node tells its relays where it is, they put it into the table and ask it for others.
 */
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { NetError } from '../errors.ts'
import { openRecord } from './record.ts'
import { tableKey } from './record-table.ts'

/** The table's protocol name: a table of our own, apart from other libp2p networks. */
export const TABLE_PROTOCOL = '/emet/kad/1'

/** Different nodes whose records a relay holds for the table. */
export const TABLE_RECORDS_MAX = 100_000

/** The table as libp2p services. */
export function tableServices() {
  const held = new Set<string>()
  const validate = async (key: Uint8Array, value: Uint8Array) => {
    const text = new TextDecoder().decode(key)
    const { nodeId } = await openRecord(value)
    if (text !== tableKey(nodeId)) throw new NetError('not-proven', `a record of ${nodeId} came under the key ${text}`)
    if (!held.has(text) && held.size >= TABLE_RECORDS_MAX) throw new NetError('busy', 'the table is full')
    held.add(text)
  }
  return {
    ping: ping(),
    table: kadDHT({
      protocol: TABLE_PROTOCOL,
      clientMode: false,
      // Without this, a lone relay would hold up every question until it meets another one.
      allowQueryWithZeroPeers: true,
      peerInfoMapper: passthroughMapper,
      validators: { emet: validate },
      selectors: { emet: (_key, values) => newest(values) },
    }),
  }
}

/** The index of the newest record; broken ones are the oldest. */
async function newest(values: Uint8Array[]): Promise<number> {
  const sequences = await Promise.all(
    values.map((value) =>
      openRecord(value).then(
        (record) => record.sequence,
        () => -1n,
      ),
    ),
  )
  return sequences.reduce((best, sequence, index) => (sequence > (sequences[best] ?? -1n) ? index : best), 0)
}
