/** FlexBuffers' type numbers (FlatBuffers, "FlexBuffers" binary format). */
export const Type = {
  Null: 0,
  Int: 1,
  UInt: 2,
  Float: 3,
  Key: 4,
  String: 5,
  IndirectInt: 6,
  IndirectUInt: 7,
  IndirectFloat: 8,
  Map: 9,
  Vector: 10,
  VectorInt: 11,
  VectorUInt: 12,
  VectorFloat: 13,
  VectorKey: 14,
  /** Deprecated: its elements are null-terminated, as keys are. */
  VectorString: 15,
  /** 16 to 24: vectors of exactly 2, 3 or 4 Ints, UInts or Floats, without a length. */
  VectorInt2: 16,
  VectorFloat4: 24,
  Blob: 25,
  Bool: 26,
  VectorBool: 36,
} as const

/** How deep values may nest. */
export const DEPTH_MAX = 64
/** Elements of all vectors and maps in one decoded value; never more than the input has bytes. */
export const ELEMENTS_MAX = 4 * 1024 * 1024
/** Bytes of all strings and keys in one decoded value. Offsets may share them, so the input's size is no bound. */
export const TEXT_BYTES_MAX = 64 * 1024 * 1024
/** The largest encoded value. */
export const BODY_BYTES_MAX = 32 * 1024 * 1024

/** Bytes per element: 1, 2, 4 or 8; on the wire its binary logarithm. */
export type Width = 1 | 2 | 4 | 8
export const WIDTHS: readonly Width[] = [1, 2, 4, 8]

/** A number that is written as Float even when it is whole, as Rust writes an `f64` field. */
export class Float {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}
