import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hostKey } from './keys.ts'

const privateKeys = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Uint8Array.from(bytes, (byte, at) => (at === 31 ? byte | 1 : at === 0 ? byte & 0x7f : byte)))
const keyOf = (raw: Uint8Array) => hostKey({ handshakeKey: () => raw } as Parameters<typeof hostKey>[0])

test('a key signs and shows itself as the key of libp2p does', async () => {
  const property = fc.asyncProperty(privateKeys, fc.uint8Array({ maxLength: 200 }), async (raw, message) => {
    const [own, theirs] = [keyOf(raw), privateKeyFromRaw(raw)]
    expect(own.publicKey.toString()).toBe(theirs.publicKey.toString())
    const signature = await own.sign(message)
    expect(Buffer.from(signature)).toEqual(Buffer.from(await theirs.sign(message)))
    expect(await theirs.publicKey.verify(message, signature)).toBe(true)
    expect(own.equals(theirs) && theirs.equals(own)).toBe(true)
  })
  await fc.assert(property, { numRuns: 50 })
})

test('a message in parts is signed as the whole of it', async () => {
  const key = keyOf(new Uint8Array(32).fill(7))
  // libp2p's lists of bytes are iterated over, as an array of parts is.
  const parts = [Uint8Array.of(1, 2), Uint8Array.of(3)]
  expect(await key.sign(parts as never)).toEqual(await key.sign(Uint8Array.of(1, 2, 3)))
})

test('keys of others are not equal, and an aborted signature throws', () => {
  const key = keyOf(new Uint8Array(32).fill(7))
  expect(key.equals(keyOf(new Uint8Array(32).fill(8)))).toBe(false)
  expect(key.equals(undefined as never)).toBe(false)
  expect(() => key.sign(Uint8Array.of(1), { signal: AbortSignal.abort() })).toThrow()
})
