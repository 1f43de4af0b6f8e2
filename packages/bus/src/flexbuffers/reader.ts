import { BusError } from '../errors.ts'
import { BODY_BYTES_MAX, DEPTH_MAX, ELEMENTS_MAX, TEXT_BYTES_MAX, Type, type Width } from './types.ts'

/**
 * Decodes a value. Whole numbers beyond 2^53 come as bigint, Blobs as `Uint8Array` (a view of the input), vectors of all
 * kinds as arrays, maps as plain objects. Bytes that are no FlexBuffers, or break a limit, are a `BusError`
 * `bad-request`: offsets are checked, and shared or nested parts cannot multiply beyond the limits.
 */
export function decodeFlexbuffers(bytes: Uint8Array): unknown {
  if (bytes.length > BODY_BYTES_MAX) throw malformed(`it has more than ${BODY_BYTES_MAX} bytes`)
  if (bytes.length < 3) throw malformed('it is too short')
  const reader = createReader(bytes)
  const rootWidth = reader.widthFrom(bytes.length - 1)
  const packed = reader.uintAt(bytes.length - 2, 1)
  return reader.value(bytes.length - 2 - rootWidth, rootWidth, packed, 0)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads scalars, offsets and texts, each checked against the input's end and the limits. */
function createCursor(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const keyCache = new Map<number, string>()
  // Writers share keys and texts but no elements, each of which takes a byte at least.
  let elementsLeft = Math.min(ELEMENTS_MAX, bytes.length)
  let textBytesLeft = TEXT_BYTES_MAX

  const check = (at: number, size: number) => {
    if (at < 0 || size < 0 || at + size > bytes.length) throw malformed('an offset points outside')
  }
  const bigAware = (value: bigint): number | bigint =>
    value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
  const anyUint = (at: number, width: Width): number | bigint => {
    check(at, width)
    if (width === 1) return view.getUint8(at)
    if (width === 2) return view.getUint16(at, true)
    return width === 4 ? view.getUint32(at, true) : bigAware(view.getBigUint64(at, true))
  }
  const anyInt = (at: number, width: Width): number | bigint => {
    check(at, width)
    if (width === 1) return view.getInt8(at)
    if (width === 2) return view.getInt16(at, true)
    return width === 4 ? view.getInt32(at, true) : bigAware(view.getBigInt64(at, true))
  }
  const floatAt = (at: number, width: Width): number => {
    check(at, width)
    if (width === 4) return view.getFloat32(at, true)
    if (width === 8) return view.getFloat64(at, true)
    throw malformed(`a float of ${width} bytes`)
  }
  /** A length or an offset. */
  const uintAt = (at: number, width: Width): number => {
    const value = anyUint(at, width)
    if (typeof value === 'bigint') throw malformed('an offset points outside')
    return value
  }
  const widthFrom = (at: number): Width => {
    const width = uintAt(at, 1)
    if (width === 1 || width === 2 || width === 4 || width === 8) return width
    throw malformed(`a width of ${width} bytes`)
  }
  const follow = (at: number, width: Width): number => {
    const target = at - uintAt(at, width)
    check(target, 0)
    return target
  }
  const takeElements = (count: number) => {
    elementsLeft -= count
    if (elementsLeft < 0) throw malformed(`it has too many elements`)
  }
  const text = (from: number, length: number): string => {
    check(from, length)
    textBytesLeft -= length
    if (textBytesLeft < 0) throw malformed(`it has more than ${TEXT_BYTES_MAX} bytes of text`)
    try {
      return utf8.decode(bytes.subarray(from, from + length))
    } catch {
      throw malformed('a text is not UTF-8')
    }
  }
  const keyAt = (from: number): string => {
    const known = keyCache.get(from)
    if (known !== undefined) return known
    const end = bytes.indexOf(0, from)
    if (end < 0) throw malformed('a key does not end')
    const key = text(from, end - from)
    keyCache.set(from, key)
    return key
  }
  const lengthBefore = (at: number, width: Width): number => uintAt(at - width, width)

  return { anyInt, anyUint, floatAt, uintAt, widthFrom, follow, check, takeElements, text, keyAt, lengthBefore }
}

/** Reads values with the help of a cursor. */
function createReader(bytes: Uint8Array) {
  const cursor = createCursor(bytes)
  const { uintAt, widthFrom, follow, check, takeElements, keyAt, lengthBefore } = cursor

  const typedVector = (at: number, width: Width, length: number, element: number): unknown[] => {
    check(at, length * width)
    takeElements(length)
    const items: unknown[] = []
    for (let index = 0; index < length; index++) items.push(scalar(at + index * width, width, element))
    return items
  }
  const scalar = (at: number, width: Width, type: number): unknown => {
    if (type === Type.Int) return cursor.anyInt(at, width)
    if (type === Type.UInt) return cursor.anyUint(at, width)
    if (type === Type.Float) return cursor.floatAt(at, width)
    if (type === Type.Bool) return cursor.anyUint(at, width) !== 0
    return keyAt(follow(at, width))
  }
  const vector = (at: number, width: Width, depth: number): unknown[] => {
    const length = lengthBefore(at, width)
    check(at, length * (width + 1))
    takeElements(length)
    const types = at + length * width
    const items: unknown[] = []
    for (let index = 0; index < length; index++) {
      items.push(value(at + index * width, width, uintAt(types + index, 1), depth + 1))
    }
    return items
  }
  const map = (at: number, width: Width, depth: number): Record<string, unknown> => {
    const keys = follow(at - 3 * width, width)
    const keyWidth = widthFrom(at - 2 * width)
    if (width > 1 && uintAt(at - 2 * width, width) !== keyWidth) throw malformed('a width of keys')
    const values = vector(at, width, depth)
    if (lengthBefore(keys, keyWidth) !== values.length) throw malformed('a map with more keys than values, or fewer')
    check(keys, values.length * keyWidth)
    const object: Record<string, unknown> = {}
    values.forEach((item, index) => {
      setOwn(object, keyAt(follow(keys + index * keyWidth, keyWidth)), item)
    })
    return object
  }
  const value = (at: number, parentWidth: Width, packed: number, depth: number): unknown => {
    if (depth > DEPTH_MAX) throw malformed(`it nests deeper than ${DEPTH_MAX} levels`)
    const type = packed >> 2
    const width = (1 << (packed & 3)) as Width
    if (type === Type.Null) return null
    if (type <= Type.Key || type === Type.Bool) return scalar(at, parentWidth, type)
    const target = follow(at, parentWidth)
    if (type >= Type.IndirectInt && type <= Type.IndirectFloat) return scalar(target, width, type - 5)
    if (type === Type.String) return cursor.text(target, lengthBefore(target, width))
    if (type === Type.Map) return map(target, width, depth)
    if (type === Type.Vector) return vector(target, width, depth)
    if (type === Type.VectorBool) return typedVector(target, width, lengthBefore(target, width), Type.Bool)
    if (type >= Type.VectorInt && type <= Type.VectorString) {
      return typedVector(target, width, lengthBefore(target, width), Math.min(type - 10, Type.Key))
    }
    if (type >= Type.VectorInt2 && type <= Type.VectorFloat4) {
      const offset = type - Type.VectorInt2
      return typedVector(target, width, 2 + Math.floor(offset / 3), Type.Int + (offset % 3))
    }
    if (type !== Type.Blob) throw malformed(`a value of the unknown type ${type}`)
    const length = lengthBefore(target, width)
    check(target, length)
    // Never a Buffer, whatever the input is.
    return new Uint8Array(bytes.buffer, bytes.byteOffset + target, length)
  }
  return { value, widthFrom, uintAt }
}

/** Sets a property whatever its name: `__proto__` is data here. */
function setOwn(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== '__proto__') object[key] = value
  else Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
}

function malformed(why: string): BusError {
  return new BusError('bad-request', `the message body cannot be read: ${why}`, { why })
}
