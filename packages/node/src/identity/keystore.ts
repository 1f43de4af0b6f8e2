/**
 * Web3 Secret Storage, version 3: the JSON form in which Ethereum clients keep a private key. We write aes-128-ctr with
 * pbkdf2 (hmac-sha256, 10240 rounds, as Golem does) and also read scrypt.
 */
import { createCipheriv, createDecipheriv, pbkdf2, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { messageOf, type Random, randomUuid } from '@emet/core'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { z } from 'zod'
import { IdentityError } from './errors.ts'
import { nodeIdOf, PRIVATE_KEY_BYTES } from './keys.ts'

const PBKDF2_ROUNDS = 10_240
/** Bounds on a foreign file's key derivation, so that importing one cannot hang or exhaust the daemon. */
const PBKDF2_ROUNDS_MAX = 10_000_000
/** Memory that opening a scrypt keystore may take. */
const SCRYPT_MEMORY_MAX_BYTES = 512 * 1024 * 1024
/** The `p` of a scrypt keystore. */
const SCRYPT_PARALLEL_MAX = 16

const hexBytes = z
  .string()
  .regex(/^(0x)?([0-9a-fA-F]{2})*$/, 'not hex')
  .transform((text) => Uint8Array.from(Buffer.from(text.replace(/^0x/, ''), 'hex')))

const keystoreSchema = z.object({
  version: z.literal(3),
  id: z.string(),
  address: z.string().optional(),
  crypto: z.object({
    cipher: z.literal('aes-128-ctr'),
    cipherparams: z.object({ iv: hexBytes }),
    ciphertext: hexBytes,
    mac: hexBytes,
    kdf: z.enum(['pbkdf2', 'scrypt']),
    kdfparams: z.object({
      dklen: z.number().int().min(32).max(64),
      salt: hexBytes,
      c: z.number().int().min(1).max(PBKDF2_ROUNDS_MAX).optional(),
      prf: z.literal('hmac-sha256').optional(),
      n: z.number().int().min(2).optional(),
      r: z.number().int().min(1).max(64).optional(),
      p: z.number().int().min(1).max(SCRYPT_PARALLEL_MAX).optional(),
    }),
  }),
})

/** A keystore file, as parsed JSON. */
export type Keystore = z.input<typeof keystoreSchema>

/** Encrypts a private key under a password; the empty password is allowed and means "unlocked at start". */
export async function sealKey(privateKey: Uint8Array, password: string, random: Random): Promise<Keystore> {
  const salt = random.bytes(32)
  const iv = random.bytes(16)
  const derived = await promisify(pbkdf2)(password, salt, PBKDF2_ROUNDS, 32, 'sha256')
  const cipher = createCipheriv('aes-128-ctr', derived.subarray(0, 16), iv)
  const ciphertext = Buffer.concat([cipher.update(privateKey), cipher.final()])
  return {
    version: 3,
    id: randomUuid(random),
    address: nodeIdOf(privateKey).slice(2),
    crypto: {
      cipher: 'aes-128-ctr',
      cipherparams: { iv: toHex(iv) },
      ciphertext: toHex(ciphertext),
      kdf: 'pbkdf2',
      kdfparams: { c: PBKDF2_ROUNDS, dklen: 32, prf: 'hmac-sha256', salt: toHex(salt) },
      mac: toHex(macOf(derived, ciphertext)),
    },
  }
}

/** Decrypts. Throws `bad-keystore` when the file is not one, `wrong-password` when the password does not fit. */
export async function openKey(keystore: unknown, password: string): Promise<Uint8Array> {
  const parsed = keystoreSchema.safeParse(keystore)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new IdentityError('bad-keystore', `not a Web3 keystore: ${issue?.path.join('.')}: ${issue?.message}`)
  }
  const { crypto } = parsed.data
  const derived = await deriveKey(crypto, password)
  if (!sameBytes(macOf(derived, crypto.ciphertext), crypto.mac)) {
    throw new IdentityError('wrong-password', 'the password does not open this keystore')
  }
  const decipher = createDecipheriv('aes-128-ctr', derived.subarray(0, 16), crypto.cipherparams.iv)
  const key = Buffer.concat([decipher.update(crypto.ciphertext), decipher.final()])
  if (key.length !== PRIVATE_KEY_BYTES) throw new IdentityError('bad-keystore', 'the keystore holds no 32-byte key')
  return Uint8Array.from(key)
}

type KeystoreCrypto = z.output<typeof keystoreSchema>['crypto']

async function deriveKey({ kdf, kdfparams }: KeystoreCrypto, password: string): Promise<Buffer> {
  const { dklen, salt, c, n = 0, r = 0, p = 0 } = kdfparams
  if (kdf === 'pbkdf2' && c !== undefined) return promisify(pbkdf2)(password, salt, c, dklen, 'sha256')
  const memoryBytes = 128 * n * r + 128 * r * p
  if (kdf === 'scrypt' && memoryBytes > 0 && memoryBytes <= SCRYPT_MEMORY_MAX_BYTES)
    return scryptKey(password, kdfparams)
  throw new IdentityError('bad-keystore', `the key derivation parameters of this keystore are missing or too large`)
}

function scryptKey(password: string, params: KeystoreCrypto['kdfparams']): Promise<Buffer> {
  const options = { N: params.n ?? 0, r: params.r ?? 0, p: params.p ?? 0, maxmem: 2 * SCRYPT_MEMORY_MAX_BYTES }
  return new Promise<Buffer>((resolve, reject) => {
    scrypt(password, params.salt, params.dklen, options, (error, key) => (error ? reject(error) : resolve(key)))
  }).catch((cause) => {
    throw new IdentityError(
      'bad-keystore',
      `scrypt refuses the parameters of this keystore: ${messageOf(cause)}`,
      {},
      { cause },
    )
  })
}

function macOf(derived: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return keccak_256(Buffer.concat([derived.subarray(16, 32), ciphertext]))
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
