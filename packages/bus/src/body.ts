import { decodeFlexbuffers, encodeFlexbuffers } from './flexbuffers/index.ts'

/**
 * The content of a message: a JavaScript value, or the FlexBuffers bytes that stand for it. Each form is made from the
 * other when somebody asks for it, and kept; a body that only passes through is never decoded, and one that stays in
 * the process is never encoded. Values are shared, not copied: neither side may change them.
 */
export class Body {
  #value: unknown
  #hasValue: boolean
  #bytes: Uint8Array | undefined

  private constructor(value: unknown, hasValue: boolean, bytes: Uint8Array | undefined) {
    this.#value = value
    this.#hasValue = hasValue
    this.#bytes = bytes
  }

  /** A body that holds `value`: null, booleans, numbers, bigints, strings, `Uint8Array`s, arrays and plain objects. */
  static of(value: unknown): Body {
    return new Body(value, true, undefined)
  }

  /** A body that holds FlexBuffers bytes (not compressed). */
  static encoded(bytes: Uint8Array): Body {
    return new Body(undefined, false, bytes)
  }

  /** The value. Fails with `BusError` `bad-request` when the bytes are not FlexBuffers or break a limit. */
  value(): unknown {
    if (!this.#hasValue && this.#bytes) {
      this.#value = decodeFlexbuffers(this.#bytes)
      this.#hasValue = true
    }
    return this.#value
  }

  /** The FlexBuffers bytes. Fails with `BusError` `bad-request` when the value has no such form. */
  bytes(): Uint8Array {
    this.#bytes ??= encodeFlexbuffers(this.#value)
    return this.#bytes
  }
}
