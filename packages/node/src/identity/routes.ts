import { type emetIdentityApi, RestError, type RouteHandlers } from '@emet/api'
import { fromMs } from '@emet/core'
import { IdentityError, type IdentityErrorCode } from './errors.ts'
import { parsePrivateKey } from './keys.ts'
import type { AppKey, IdentityService } from './types.ts'

const STATUS: Readonly<Record<IdentityErrorCode, number>> = {
  'unknown-identity': 404,
  'identity-exists': 409,
  locked: 403,
  'wrong-password': 403,
  'bad-keystore': 400,
  'bad-private-key': 400,
  'alias-taken': 409,
  'is-default': 409,
  'default-locked': 409,
  'unknown-app-key': 404,
  'app-key-taken': 409,
  'too-many': 409,
}

/** Binds the identity API. */
export function createIdentityRoutes(identity: IdentityService): RouteHandlers<typeof emetIdentityApi> {
  return {
    list: () => answer(() => identity.list()),
    create: ({ body }) =>
      answer(() => {
        const { privateKey, ...rest } = body
        const key = privateKey === undefined ? {} : { privateKey: parsePrivateKey(privateKey) }
        return identity.create(defined({ ...rest, ...key }))
      }),
    importKeystore: ({ body }) => answer(() => identity.importKeystore(defined(body))),
    exportKeystore: ({ params }) =>
      answer(() => identity.exportKeystore(params.nodeId) as Promise<Record<string, unknown>>),
    update: ({ params, body }) => answer(() => identity.update(params.nodeId, defined(body))),
    drop: ({ params }) => answerNull(() => identity.drop(params.nodeId)),
    lock: ({ params }) => answerNull(() => identity.lock(params.nodeId)),
    unlock: ({ params, body }) => answerNull(() => identity.unlock(params.nodeId, body.password)),
    listAppKeys: () => answer(() => identity.appKeys().map(toDocument)),
    createAppKey: ({ body }) => answer(() => toDocument(identity.createAppKey(defined(body)))),
    dropAppKey: ({ params }) => answerNull(() => identity.dropAppKey(params.name)),
  }
}

async function answer<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error
    throw new RestError(STATUS[error.code], error.message, { cause: error })
  }
}

async function answerNull(work: () => unknown): Promise<null> {
  await answer(work)
  return null
}

function toDocument({ createdMs, allowOrigins, ...appKey }: AppKey) {
  return { ...appKey, allowOrigins: [...allowOrigins], created: fromMs(createdMs) }
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> }

/** Without the fields that are undefined. */
function defined<T extends object>(record: T): Defined<T> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Defined<T>
}
