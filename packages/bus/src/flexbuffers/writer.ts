import { BusError } from '../errors.ts'
import { BODY_BYTES_MAX, DEPTH_MAX, Float, Type, WIDTHS, type Width } from './types.ts'

/**
 * Encodes a value, byte for byte as flexbuffers-rs 2.0.0 does with serde (Golem wire): keys are written when first met
 * and shared, strings are not shared, maps are sorted by key bytes, vectors of one scalar type are typed vectors.
 *
 * null and undefined are Null (an undefined property is left out); a whole number is UInt, or Int when negative; any
 * other number is Float, in 4 bytes if that is exact; a bigint is UInt or Int. In an array of numbers all elements are of
 * one type: Float if one is, else Int if one is negative. `new Float(5)` and `Float64Array` force Float. A `Uint8Array`
 * is a Blob. Anything else, cycles included, is a `BusError` `bad-request`.
 */
export function encodeFlexbuffers(value: unknown): Uint8Array {
  const writer = createWriter()
  writer.root(writer.value(value, 0))
  return writer.bytes()
}

/** A value ready to be put into its parent: a scalar, or the address of what has been written. */
type Slot =
  | { readonly kind: 'int'; readonly type: number; readonly width: Width; readonly value: number | bigint }
  | { readonly kind: 'float'; readonly type: number; readonly width: 4 | 8; readonly value: number }
  | { readonly kind: 'address'; readonly type: number; readonly width: Width; readonly address: number }

const NULL: Slot = { kind: 'int', type: Type.Null, width: 1, value: 0 }
const utf8 = new TextEncoder()

/** Writes strings, keys and vectors, and returns the slots that refer to them. */
function createLayout() {
  const out = createOutput()
  const keys = new Map<string, number>()

  const sized = (bytes: Uint8Array, type: number): Slot => {
    const width = uintWidth(bytes.length)
    out.align(width)
    out.int(bytes.length, width)
    const address = out.length()
    out.raw(bytes)
    return { kind: 'address', type, width, address }
  }
  const string = (text: string): Slot => {
    const slot = sized(utf8.encode(text), Type.String)
    out.int(0, 1)
    return slot
  }
  const key = (text: string): number => {
    const known = keys.get(text)
    if (known !== undefined) return known
    if (text.includes('\0')) throw unfit('a key with a zero byte')
    const address = out.length()
    out.raw(utf8.encode(text))
    out.int(0, 1)
    keys.set(text, address)
    return address
  }
  const put = (slot: Slot, width: Width) => {
    if (slot.kind === 'address') out.int(out.length() - slot.address, width)
    else if (slot.kind === 'float') out.float(slot.value, width === 8 ? 8 : 4)
    else out.int(slot.value, width)
  }
  /** Writes a vector: what stands before the length, the length (unless fixed), the elements, their types. */
  const vector = (type: number, slots: readonly Slot[], before: readonly Slot[] = []): Slot => {
    const isFixed = type >= Type.VectorInt2 && type <= Type.VectorFloat4
    const prefix = isFixed ? [] : [...before, intSlot(Type.UInt, slots.length)]
    const start = out.length()
    let width: Width = 1
    let index = 0
    for (const slot of prefix) width = wider(width, widthAt(slot, start, index++))
    for (const slot of slots) width = wider(width, widthAt(slot, start, index++))
    out.align(width)
    for (const slot of prefix) put(slot, width)
    const address = out.length()
    for (const slot of slots) put(slot, width)
    if (type === Type.Vector || type === Type.Map) for (const slot of slots) out.int(packedType(slot, width), 1)
    return { kind: 'address', type, width, address }
  }
  const root = (slot: Slot) => {
    const width = widthAt(slot, out.length(), 0)
    out.align(width)
    put(slot, width)
    out.int(packedType(slot, width), 1)
    out.int(width, 1)
  }
  return { sized, string, key, vector, root, bytes: out.bytes }
}

/** Chooses the layout of values. */
function createWriter() {
  const { sized, string, key, vector, root, bytes } = createLayout()

  const array = (items: readonly unknown[], depth: number): Slot => {
    const kind = scalarVectorType(items)
    if (kind === undefined) {
      const slots = items.map((item) => value(item, depth + 1))
      return vector(typedVector(commonType(slots), slots.length), slots)
    }
    const slots = items.map((item) => (kind === Type.Float ? floatSlot(Number(item)) : intSlot(kind, toInt(item))))
    return vector(typedVector(kind, slots.length), slots)
  }
  const map = (object: Record<string, unknown>, depth: number): Slot => {
    const entries: { key: Slot; sortBy: string; value: Slot }[] = []
    for (const [name, item] of Object.entries(object)) {
      if (item === undefined) continue
      const keySlot: Slot = { kind: 'address', type: Type.Key, width: 1, address: key(name) }
      entries.push({ key: keySlot, sortBy: name, value: value(item, depth + 1) })
    }
    entries.sort((a, b) => compareUtf8(a.sortBy, b.sortBy))
    const keyVector = vector(
      Type.VectorKey,
      entries.map((entry) => entry.key),
    )
    const values = entries.map((entry) => entry.value)
    return vector(Type.Map, values, [keyVector, intSlot(Type.UInt, keyVector.width)])
  }
  const value = (input: unknown, depth: number): Slot => {
    if (depth > DEPTH_MAX) throw unfit(`more than ${DEPTH_MAX} levels`)
    if (input === null || input === undefined) return NULL
    if (typeof input === 'string') return string(input)
    if (typeof input === 'number') return numberSlot(input)
    if (typeof input === 'bigint') return intSlot(input < 0n ? Type.Int : Type.UInt, input)
    if (typeof input === 'boolean') return { kind: 'int', type: Type.Bool, width: 1, value: input ? 1 : 0 }
    if (input instanceof Uint8Array) return sized(input, Type.Blob)
    if (input instanceof Float) return floatSlot(input.value)
    if (input instanceof Float64Array) {
      return vector(typedVector(Type.Float, input.length), Array.from(input, floatSlot))
    }
    if (Array.isArray(input)) return array(input, depth)
    if (isPlainObject(input)) return map(input, depth)
    throw unfit(typeof input === 'object' ? (input.constructor?.name ?? 'an object') : typeof input)
  }
  return { value, root, bytes }
}

/** Growing little-endian output. */
function createOutput() {
  let buffer = new Uint8Array(256)
  let view = new DataView(buffer.buffer)
  let length = 0
  const reserve = (count: number) => {
    if (length + count > BODY_BYTES_MAX) {
      throw new BusError('too-large', `the body has more than ${BODY_BYTES_MAX} bytes; send it in parts`)
    }
    if (length + count <= buffer.length) return
    // With room for what follows the last large piece, so that it is not copied for that.
    const grown = new Uint8Array(Math.max(buffer.length * 2, length + count + 256))
    grown.set(buffer)
    buffer = grown
    view = new DataView(buffer.buffer)
  }
  return {
    length: () => length,
    bytes: () => buffer.subarray(0, length),
    align: (width: Width) => {
      reserve(width)
      // The room is zero already: output never shrinks.
      length += -length & (width - 1)
    },
    raw: (bytes: Uint8Array) => {
      reserve(bytes.length)
      buffer.set(bytes, length)
      length += bytes.length
    },
    int: (value: number | bigint, width: Width) => {
      reserve(width)
      if (width === 1) view.setUint8(length, Number(value))
      else if (width === 2) view.setUint16(length, Number(value), true)
      else if (width === 4) view.setUint32(length, Number(value), true)
      else view.setBigUint64(length, BigInt.asUintN(64, BigInt(value)), true)
      length += width
    },
    float: (value: number, width: 4 | 8) => {
      reserve(width)
      if (width === 4) view.setFloat32(length, value, true)
      else view.setFloat64(length, value, true)
      length += width
    },
  }
}

function numberSlot(value: number): Slot {
  if (!isWhole(value)) return floatSlot(value)
  return intSlot(value < 0 ? Type.Int : Type.UInt, value)
}

function intSlot(type: number, value: number | bigint): Slot {
  return { kind: 'int', type, width: type === Type.Int ? intWidth(value) : uintWidth(value), value }
}

function floatSlot(value: number): Slot {
  return { kind: 'float', type: Type.Float, width: Math.fround(value) === value ? 4 : 8, value }
}

/** Whole, exact, and not -0, which only a Float keeps. */
function isWhole(value: number): boolean {
  return Number.isSafeInteger(value) && !Object.is(value, -0)
}

function uintWidth(value: number | bigint): Width {
  if (value <= 0xff) return 1
  if (value <= 0xffff) return 2
  if (value <= 0xffff_ffff) return 4
  if (value <= 0xffff_ffff_ffff_ffffn) return 8
  throw unfit('a whole number beyond 64 bits')
}

function intWidth(value: number | bigint): Width {
  if (value >= -0x80 && value <= 0x7f) return 1
  if (value >= -0x8000 && value <= 0x7fff) return 2
  if (value >= -0x8000_0000 && value <= 0x7fff_ffff) return 4
  if (value >= -0x8000_0000_0000_0000n && value <= 0x7fff_ffff_ffff_ffffn) return 8
  throw unfit('a whole number beyond 64 bits')
}

function toInt(item: unknown): number | bigint {
  return typeof item === 'bigint' ? item : Number(item)
}

/** Int, UInt or Float when the items are numbers that fit one type; otherwise undefined. */
function scalarVectorType(items: readonly unknown[]): number | undefined {
  let hasFloat = false
  let hasNegative = false
  let hasBigint = false
  let max = 0n
  for (const item of items) {
    if (typeof item === 'bigint') {
      hasBigint = true
      if (item > max) max = item
    } else if (typeof item !== 'number') return undefined
    if (typeof item === 'number' && !isWhole(item)) hasFloat = true
    else if (Number(item) < 0) hasNegative = true
  }
  if (items.length === 0 || (hasFloat && hasBigint)) return undefined
  if (hasFloat) return Type.Float
  if (!hasNegative) return Type.UInt
  return max > 0x7fff_ffff_ffff_ffffn ? undefined : Type.Int
}

/** The element type that all slots share, when a typed vector can hold it. */
function commonType(slots: readonly Slot[]): number | undefined {
  const type = slots[0]?.type
  if (type !== Type.Bool && type !== Type.Float) return undefined
  return slots.every((slot) => slot.type === type) ? type : undefined
}

/** The vector type for elements of `type`; 2 to 4 numbers have types of their own. */
function typedVector(type: number | undefined, length: number): number {
  if (type === undefined) return Type.Vector
  if (type === Type.Bool) return Type.VectorBool
  const offset = type - Type.Int
  return length >= 2 && length <= 4 ? Type.VectorInt2 + (length - 2) * 3 + offset : Type.VectorInt + offset
}

/** The width that an element needs when its vector begins at `start`: an offset's depends on where it ends up. */
function widthAt(slot: Slot, start: number, index: number): Width {
  if (slot.kind !== 'address') return slot.width
  for (const width of WIDTHS) {
    const padding = -start & (width - 1)
    if (uintWidth(start + padding + index * width - slot.address) <= width) return width
  }
  throw unfit('an offset beyond 64 bits')
}

function wider(a: Width, b: Width): Width {
  return a > b ? a : b
}

/** Type and width in one byte. Scalars take the width of the vector they stand in. */
function packedType(slot: Slot, parent: Width): number {
  const width = slot.kind === 'address' ? slot.width : wider(slot.width, parent)
  return (slot.type << 2) | WIDTHS.indexOf(width)
}

/** Orders as UTF-8 bytes do. UTF-16 order differs from it only where surrogates meet the code points above them. */
function compareUtf8(a: string, b: string): number {
  const isAscii = !/[^\0-\x7f]/.test(a) && !/[^\0-\x7f]/.test(b)
  return isAscii ? (a < b ? -1 : a > b ? 1 : 0) : Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null
}

function unfit(what: string): BusError {
  return new BusError('bad-request', `a message body cannot hold ${what}`, { what })
}
