import { readFileSync } from 'node:fs'
import { deflateSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { Body } from '../body.ts'
import { BusError } from '../errors.ts'
import { BODY_BYTES_MAX } from '../flexbuffers/types.ts'
import {
  broadcastBody,
  type CallReply,
  encodeBroadcastRequest,
  encodeCallReply,
  encodeCallRequest,
  fromReplyPacket,
  packBody,
  unpackBody,
} from './calls.ts'
import { createFrameReader, encodeFrame } from './framing.ts'
import { decodePacket, encodePacket, PACKET_BYTES_MAX, type Packet } from './packet.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const unhex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'))
const codeOf = (work: () => unknown) => {
  try {
    work()
  } catch (error) {
    return error instanceof BusError ? error.code : error
  }
  return 'no error'
}

type Vector = { name: string; packet: Record<string, unknown>; hex: string; frame: string }
const file = new URL('../../../../spec/vectors/gsb.json', import.meta.url)
const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as { vectors: Vector[] }
const revive = ({ data, ...rest }: Record<string, unknown>) =>
  (typeof data === 'string' ? { ...rest, data: unhex(data) } : rest) as unknown as Packet

describe('packets', () => {
  it.each(vectors)('$name is encoded as the original does', ({ packet, hex: bytes, frame }) => {
    expect(hex(encodePacket(revive(packet)))).toBe(bytes)
    expect(hex(encodeFrame(encodePacket(revive(packet))))).toBe(frame)
    expect(decodePacket(unhex(bytes))).toEqual(revive(packet))
  })

  const bytes = new Uint8Array([1, 2, 3])
  it.each<Packet>([
    { kind: 'hello', name: 'emet', version: '1', instanceId: bytes },
    { kind: 'register-request', serviceId: '/public/x' },
    { kind: 'register-reply', code: 409, message: 'taken' },
    { kind: 'unregister-request', serviceId: '/public/x' },
    { kind: 'unregister-reply', code: 404 },
    { kind: 'call-request', caller: 'a', address: '/b', requestId: 'c', data: bytes, noReply: true },
    { kind: 'call-reply', requestId: 'c', code: 500, type: 1, data: bytes },
    { kind: 'subscribe-request', topic: 't' },
    { kind: 'subscribe-reply', code: 0, message: '' },
    { kind: 'unsubscribe-request', topic: 't' },
    { kind: 'unsubscribe-reply', code: 404 },
    { kind: 'broadcast-request', caller: 'a', data: bytes, topic: 't' },
    { kind: 'broadcast-reply', code: 400, message: 'no' },
    { kind: 'ping' },
    { kind: 'pong' },
    { kind: 'cancel', requestId: 'c' },
    { kind: 'credit', requestId: 'c', count: 70_000 },
  ])('$kind comes back', (packet) => expect(decodePacket(encodePacket(packet))).toEqual(packet))

  it('skip fields they do not know', () => {
    // hello { name: "a", field 9: varint, field 10: fixed64, field 11: fixed32 }
    expect(decodePacket(unhex('0a13 0a0161 4805 510102030405060708 5d01020304'.replaceAll(' ', '')))).toMatchObject({
      kind: 'hello',
      name: 'a',
    })
  })

  it.each(['', '0a', '0aff', '0a030a0261', '08', 'ffffffffffffffffffffff', '0a020805', '0a030a01ff', '0b00', 'a20601'])(
    'refuse %s',
    (text) => expect(codeOf(() => decodePacket(unhex(text)))).toBe('bad-request'),
  )

  it('have a largest size', () => {
    expect(codeOf(() => decodePacket(new Uint8Array(PACKET_BYTES_MAX + 1)))).toBe('too-large')
  })
})

describe('a stream of frames', () => {
  const packets = [1, 0, 300, 70_000, 2].map((length) => new Uint8Array(length).fill(length))
  const stream = Buffer.concat(packets.map(encodeFrame))

  it.each([1, 2, 3, 4, 5, 7, 8, 16, 63, 1024, 1_000_000])('is cut into packets from pieces of %i bytes', (size) => {
    const reader = createFrameReader()
    const seen: Uint8Array[] = []
    for (let at = 0; at < stream.length; at += size) seen.push(...reader.push(stream.subarray(at, at + size)))
    expect(seen.map((packet) => packet.length)).toEqual(packets.map((packet) => packet.length))
    expect(seen.every((packet, index) => Buffer.compare(packet, packets[index]!) === 0)).toBe(true)
    expect(reader.pendingBytes).toBe(0)
  })

  it('ends at a frame over the limit, before its bytes come', () => {
    expect(codeOf(() => createFrameReader().push(unhex('ffffffff')))).toBe('too-large')
  })
})

describe('bodies between nodes', () => {
  const large = Body.of({ text: 'golem '.repeat(1_000) })
  it('are compressed when large', () => {
    const packed = packBody(large)
    expect(packed.length).toBeLessThan(large.bytes().length / 10)
    expect(unpackBody(packed).value()).toEqual(large.value())
  })
  it('are taken uncompressed', () => expect(unpackBody(large.bytes()).value()).toEqual(large.value()))
  it('are taken as the original compresses them', () => {
    expect(unpackBody(unhex('789cf3cf6660646164646460605261040009a600ea')).value()).toEqual({ Ok: null })
  })
  it('may begin like zlib without being it', () => {
    // "x\x9c..." as a map key is raw FlexBuffers.
    const raw = Body.of({ x: 1 }).bytes()
    expect(unpackBody(raw).value()).toEqual({ x: 1 })
    expect(unpackBody(unhex('789c0001')).bytes()).toEqual(unhex('789c0001'))
  })
  it('cannot unpack to more than the limit', () => {
    const bomb = deflateSync(new Uint8Array(BODY_BYTES_MAX + 1))
    expect(bomb.length).toBeLessThan(100_000)
    expect(codeOf(() => unpackBody(bomb))).toBe('too-large')
  })
})

describe('calls', () => {
  it('carry caller, address and body', () => {
    const body = Body.of({ agreementId: 'x' })
    const bytes = encodeCallRequest({ caller: '0xa', address: '/net/0xb/c', requestId: '7', body })
    const packet = decodePacket(bytes)
    if (packet.kind !== 'call-request') throw new Error(packet.kind)
    expect(packet).toMatchObject({ caller: '0xa', address: '/net/0xb/c', requestId: '7', noReply: false })
    expect(unpackBody(packet.data).value()).toEqual({ agreementId: 'x' })
  })

  const reply = (given: CallReply): CallReply => {
    const packet = decodePacket(encodeCallReply('7', given))
    if (packet.kind !== 'call-reply') throw new Error(packet.kind)
    return fromReplyPacket(packet)
  }
  it('are answered in full, in parts, with an end', () => {
    const full = reply({ kind: 'full', body: Body.of({ Ok: 1 }) })
    expect(full.kind === 'full' && full.body.value()).toEqual({ Ok: 1 })
    const partial = reply({ kind: 'partial', body: Body.of({ Ok: 1 }) })
    expect(partial.kind === 'partial' && partial.body.value()).toEqual({ Ok: 1 })
    expect(reply({ kind: 'end' })).toEqual({ kind: 'end' })
  })
  it.each(['no-endpoint', 'bad-request', 'service-failure', 'timeout', 'overloaded', 'too-large', 'closed'] as const)(
    'fail with %s, and the caller sees it',
    (code) => {
      const failed = reply({ kind: 'failure', error: new BusError(code, 'why') })
      expect(failed.kind === 'failure' && failed.error.code).toBe(code)
    },
  )
  it('name an unknown endpoint in the words that peers match on', () => {
    const bytes = encodeCallReply('7', { kind: 'failure', error: new BusError('no-endpoint', 'x') })
    const packet = decodePacket(bytes)
    if (packet.kind !== 'call-reply') throw new Error(packet.kind)
    expect(packet.code).toBe(400)
    expect(Buffer.from(packet.data).toString()).toBe('Bad request: endpoint address not found')
  })
})

describe('casts', () => {
  it('wrap their body as the original does', () => {
    const packet = decodePacket(encodeBroadcastRequest('0xa', 'new-neighbour', Body.of({ offerIds: ['1'] })))
    if (packet.kind !== 'broadcast-request') throw new Error(packet.kind)
    expect(unpackBody(packet.data).value()).toEqual({ id: null, topic: 'new-neighbour', body: { offerIds: ['1'] } })
    expect(broadcastBody(packet).value()).toEqual({ offerIds: ['1'] })
    expect(codeOf(() => broadcastBody({ ...packet, data: Body.of(1).bytes() }))).toBe('bad-request')
  })
})
