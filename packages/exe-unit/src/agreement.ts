/** What the supervisor reads from the agreement that the provider agent gives it. */
import { type NodeId, parseNodeId } from '@emet/core'
import { z } from 'zod'
import { ExeUnitError } from './errors.ts'
import { USAGE_COUNTERS } from './protocol.ts'

/** Names in a usage vector. */
export const USAGE_VECTOR_LENGTH_MAX = 64
/** The agreement file. */
export const AGREEMENT_BYTES_MAX = 4 * 1024 * 1024

const GIB = 2 ** 30

export type AgreementTerms = {
  readonly agreementId: string | undefined
  readonly requestorId: NodeId
  readonly providerId: NodeId | undefined
  /** `hash:sha3:<hex>:<url>`; undefined when the demand names no image. */
  readonly taskPackage: string | undefined
  /** The order of reported counters. */
  readonly usageVector: readonly string[]
  readonly memoryBytes: number | undefined
  readonly storageBytes: number | undefined
  readonly cpuThreads: number | undefined
  /** When the agreement ends, in milliseconds since the epoch. */
  readonly expiresAtMs: number | undefined
}

const partSchema = z.looseObject({ properties: z.record(z.string(), z.unknown()).default({}) })
const agreementSchema = z.looseObject({
  agreementId: z.string().nullish(),
  demand: partSchema.extend({ requestorId: z.string() }),
  offer: partSchema.extend({ providerId: z.string().nullish() }),
})

/** Parses an agreement whose properties are flat or nested. Fails with `bad-request`, which names the field. */
export function parseAgreement(json: unknown): AgreementTerms {
  const parsed = agreementSchema.safeParse(json)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw bad(`${issue?.path.join('.')}: ${issue?.message}`)
  }
  const { demand, offer, agreementId } = parsed.data
  const requestorId = parseNodeId(demand.requestorId)
  if (requestorId === undefined) throw bad(`demand.requestorId is ${JSON.stringify(demand.requestorId)}, no node id`)
  const offered = (name: string) => property(offer.properties, name)
  const demanded = (name: string) => property(demand.properties, name)
  return {
    agreementId: agreementId ?? undefined,
    requestorId,
    providerId: parseNodeId(offer.providerId ?? ''),
    taskPackage: payloadOf(demanded('golem.srv.comp.payload')) ?? textOf(demanded('golem.srv.comp.task_package')),
    usageVector: usageVector(offered('golem.com.usage.vector')),
    memoryBytes: bytes(offered('golem.inf.mem.gib')),
    storageBytes: bytes(offered('golem.inf.storage.gib')),
    cpuThreads: positive(offered('golem.inf.cpu.threads')),
    expiresAtMs: positive(demanded('golem.srv.comp.expiration')),
  }
}

/** Finds a property in a tree whose keys may hold several components each; a node's own value is under `@tag`. */
export function property(tree: unknown, name: string): unknown {
  if (typeof tree !== 'object' || tree === null) return undefined
  const node = tree as Record<string, unknown>
  if (Object.hasOwn(node, name)) {
    const value = node[name]
    const isTagged = typeof value === 'object' && value !== null && Object.hasOwn(value, '@tag')
    return isTagged ? (value as Record<string, unknown>)['@tag'] : value
  }
  for (let dot = name.indexOf('.'); dot > 0; dot = name.indexOf('.', dot + 1)) {
    const below = Object.hasOwn(node, name.slice(0, dot))
      ? property(node[name.slice(0, dot)], name.slice(dot + 1))
      : undefined
    if (below !== undefined) return below
  }
  return undefined
}

const manifestSchema = z.looseObject({
  payload: z.array(
    z.looseObject({
      platform: z.looseObject({ arch: z.string().nullish(), os: z.string().nullish() }).nullish(),
      urls: z.array(z.string()).min(1),
      hash: z.string(),
    }),
  ),
})

/** Golem: a payload manifest wins over the task package; the first entry for this platform counts. */
function payloadOf(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  const json = parseManifest(value)
  const parsed = manifestSchema.safeParse(json)
  if (!parsed.success) throw bad('golem.srv.comp.payload is no payload manifest')
  const fits = (own: string, wanted: string | null | undefined) => wanted == null || wanted === own
  const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64'
  const entry = parsed.data.payload.find(({ platform }) => fits(arch, platform?.arch) && fits('linux', platform?.os))
  if (!entry) throw bad(`golem.srv.comp.payload has nothing for ${arch} linux`)
  return `hash:${entry.hash}:${entry.urls[0]}`
}

function parseManifest(value: string): unknown {
  try {
    return JSON.parse(Buffer.from(value.replace(/\s/g, ''), 'base64').toString('utf8'))
  } catch {
    throw bad('golem.srv.comp.payload is not base64 of JSON')
  }
}

function usageVector(value: unknown): readonly string[] {
  if (value === undefined) return USAGE_COUNTERS
  const parsed = z.array(z.string()).min(1).max(USAGE_VECTOR_LENGTH_MAX).safeParse(value)
  if (!parsed.success) throw bad('golem.com.usage.vector is not a list of counter names')
  return parsed.data
}

const bytes = (gib: unknown) => (positive(gib) === undefined ? undefined : Math.floor(Number(gib) * GIB))
const positive = (value: unknown) => (typeof value === 'number' && value > 0 ? value : undefined)
const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)

function bad(why: string): ExeUnitError {
  return new ExeUnitError('bad-request', `the agreement cannot be used: ${why}`)
}
