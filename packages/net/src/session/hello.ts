/**
 * The greeting. Each side sends a nonce; each proves its further identities by signing a digest that holds both nonces
 * and both proven NodeIds, so that a proof is good in this session only and nobody can pass on another's.
 */
import { createHash } from 'node:crypto'
import { type NodeId, nodeIdSchema, type Random } from '@emet/core'
import { z } from 'zod'
import { NetError } from '../errors.ts'
import type { NetIdentity, PeerRole } from '../types.ts'
import { FRAME_PAYLOAD_BYTES_MAX } from './frame.ts'

/** The protocol's version. A peer of another major version is refused. */
export const SESSION_VERSION = 1

/** Further identities that one peer may prove. */
export const ALIASES_PER_PEER_MAX = 64

const NONCE_BYTES = 32
const CONTEXT = 'emet session alias 1'

const hexOf = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))

const helloSchema = z.object({
  version: z.number().int(),
  nonce: hexOf(NONCE_BYTES),
  /** Unknown roles of later versions are passed over. */
  roles: z.array(z.string().max(32)).max(16),
})

const proofSchema = z.object({
  aliases: z.array(z.object({ id: nodeIdSchema, signature: hexOf(65) })).max(ALIASES_PER_PEER_MAX),
})

export type Hello = { readonly nonce: Uint8Array; readonly roles: readonly PeerRole[] }

/** The two ends of a session as one of them sees it while proving, or checking, an alias. */
export type ProofScope = { prover: NodeId; proverNonce: Uint8Array; checker: NodeId; checkerNonce: Uint8Array }

export function createHello(random: Random, roles: readonly PeerRole[]): Hello {
  return { nonce: random.bytes(NONCE_BYTES), roles }
}

export function encodeHello(hello: Hello): Uint8Array {
  return toJson({ version: SESSION_VERSION, nonce: Buffer.from(hello.nonce).toString('hex'), roles: hello.roles })
}

export function decodeHello(payload: Uint8Array): Hello {
  const raw = parse(helloSchema, payload, 'greeting')
  if (raw.version !== SESSION_VERSION) {
    const facts = { theirs: raw.version, ours: SESSION_VERSION }
    throw new NetError(
      'protocol',
      `the peer speaks session version ${raw.version}, this node ${SESSION_VERSION}`,
      facts,
    )
  }
  return { nonce: Buffer.from(raw.nonce, 'hex'), roles: raw.roles.filter(isRole) }
}

const isRole = (role: string): role is PeerRole => role === 'relay' || role === 'index'

/** Proofs for the given identities. */
export async function encodeProof(
  identity: NetIdentity,
  ids: readonly NodeId[],
  scope: ProofScope,
): Promise<Uint8Array> {
  const signed = ids.slice(0, ALIASES_PER_PEER_MAX).map(async (id) => ({
    id,
    signature: Buffer.from(await identity.sign(id, aliasDigest(id, scope))).toString('hex'),
  }))
  return toJson({ aliases: await Promise.all(signed) })
}

/** The identities proven by `payload`. Fails with `not-proven` when one signature is not what it claims to be. */
export function checkProof(identity: NetIdentity, payload: Uint8Array, scope: ProofScope): NodeId[] {
  return parse(proofSchema, payload, 'proof').aliases.map(({ id, signature }) => {
    const signer = identity.recover(aliasDigest(id, scope), Buffer.from(signature, 'hex'))
    if (signer === id) return id
    throw new NetError('not-proven', `${scope.prover} claims to be ${id} too, but the signature does not prove it`, {
      nodeId: scope.prover,
      claimed: id,
    })
  })
}

/** What an alias signs. */
export function aliasDigest(alias: NodeId, scope: ProofScope): Uint8Array {
  const hash = createHash('sha256').update(CONTEXT).update(alias).update(scope.prover).update(scope.checker)
  return hash.update(scope.proverNonce).update(scope.checkerNonce).digest()
}

function toJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

function parse<T>(schema: z.ZodType<T>, payload: Uint8Array, what: string): T {
  if (payload.length > FRAME_PAYLOAD_BYTES_MAX) throw new NetError('too-large', `the peer's ${what} is too large`)
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder().decode(payload))
  } catch (error) {
    throw new NetError('protocol', `the peer's ${what} is not JSON`, {}, { cause: error })
  }
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new NetError('protocol', `the peer's ${what} is wrong at ${issue?.path.join('.')}: ${issue?.message}`)
}
