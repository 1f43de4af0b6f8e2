import { BusError } from '../errors.ts'

/**
 * The little of Protocol Buffers that GSB needs: messages of strings, bytes, whole numbers and booleans, without repeated
 * or nested fields. A table per message is shorter than a generator, and lets us check sizes while reading.
 */
export type FieldType = 'string' | 'bytes' | 'uint' | 'bool'
export type Fields = Readonly<Record<string, readonly [number: number, type: FieldType]>>
type Value = string | Uint8Array | number | boolean

const VARINT = 0
const FIXED64 = 1
const LENGTH_DELIMITED = 2
const FIXED32 = 5

const utf8Encoder = new TextEncoder()
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The encoded length-delimited field `number`: its key, its length and its content, in pieces. */
export function encodeNested(number: number, content: readonly Uint8Array[]): Uint8Array[] {
  const length = content.reduce((sum, piece) => sum + piece.length, 0)
  return [Uint8Array.from([...varint((number << 3) | LENGTH_DELIMITED), ...varint(length)]), ...content]
}

/** Encodes fields in the order of the table. proto3: what has its default value is left out. */
export function encodeFields(fields: Fields, message: Readonly<Record<string, unknown>>): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (const [name, [number, type]] of Object.entries(fields)) {
    const value = message[name]
    if (type === 'uint' || type === 'bool') {
      const int = Number(value ?? 0)
      if (int !== 0) pieces.push(Uint8Array.from([...varint((number << 3) | VARINT), ...varint(int)]))
      continue
    }
    const bytes = typeof value === 'string' ? utf8Encoder.encode(value) : value
    if (bytes instanceof Uint8Array && bytes.length > 0) pieces.push(...encodeNested(number, [bytes]))
  }
  return pieces
}

/** Decodes fields; unknown ones are skipped, absent ones have their default. Throws `BusError` `bad-request`. */
export function decodeFields(fields: Fields, bytes: Uint8Array): Record<string, Value> {
  const byNumber = new Map(Object.entries(fields).map(([name, [number, type]]) => [number, { name, type }]))
  const message: Record<string, Value> = {}
  for (const [name, [, type]] of Object.entries(fields)) message[name] = defaultOf(type)
  for (const { number, value } of readFields(bytes)) {
    const field = byNumber.get(number)
    if (field) message[field.name] = convert(field.type, field.name, value)
  }
  return message
}

/** The fields of a message as they come: numbers for varints, bytes for the length-delimited. */
export function* readFields(bytes: Uint8Array): Generator<{ number: number; value: number | Uint8Array }> {
  let at = 0
  const readVarint = (): number => {
    let value = 0
    for (let index = 0; index < 10; index++) {
      const byte = bytes[at++]
      if (byte === undefined) throw malformed('it ends too soon')
      value += (byte & 0x7f) * 2 ** (7 * index)
      if (byte < 0x80) return value
    }
    throw malformed('a number does not end')
  }
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw malformed('it ends too soon')
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const key = readVarint()
    const number = Math.floor(key / 8)
    const wireType = key % 8
    if (wireType === VARINT) yield { number, value: readVarint() }
    else if (wireType === LENGTH_DELIMITED) yield { number, value: take(readVarint()) }
    else if (wireType === FIXED64) take(8)
    else if (wireType === FIXED32) take(4)
    else throw malformed(`the wire type ${wireType}`)
  }
}

function convert(type: FieldType, name: string, value: number | Uint8Array): Value {
  const isNumber = typeof value === 'number'
  if (isNumber !== (type === 'uint' || type === 'bool')) throw malformed(`the wrong type of ${name}`)
  if (isNumber) return type === 'bool' ? value !== 0 : value
  if (type === 'bytes') return value
  try {
    return utf8Decoder.decode(value)
  } catch {
    throw malformed(`${name} is not UTF-8`)
  }
}

function defaultOf(type: FieldType): Value {
  if (type === 'string') return ''
  if (type === 'bytes') return new Uint8Array()
  return type === 'bool' ? false : 0
}

function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  bytes.push(rest)
  return bytes
}

function malformed(why: string): BusError {
  return new BusError('bad-request', `the packet cannot be read: ${why}`, { why })
}
