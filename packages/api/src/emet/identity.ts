/** Identities of this node, and the app keys bound to them. */
import { instantSchema, maybe, nodeIdSchema, nullable, shortTextSchema } from '@emet/core'
import { z } from 'zod'
import { idParam } from '../query.ts'
import { APP_KEY_ROLES, defineApi } from '../route.ts'
import { byNode, done, EMET_BASE, malformed } from './shared.ts'

/** Longest password of a keystore, in characters. */
export const PASSWORD_LENGTH_MAX = 1024
/** Most origins that one app key allows. */
export const ALLOWED_ORIGINS_MAX = 100

const identitySchema = z
  .object({ nodeId: nodeIdSchema, alias: nullable(z.string()), isDefault: z.boolean(), isLocked: z.boolean() })
  .meta({ id: 'Identity' })
export type IdentityDocument = z.output<typeof identitySchema>

const appKeySchema = z
  .object({
    key: z.string(),
    name: z.string(),
    role: z.enum(APP_KEY_ROLES),
    nodeId: nodeIdSchema,
    allowOrigins: z.array(z.string()),
    created: instantSchema,
  })
  .meta({ id: 'AppKey' })
export type AppKeyDocument = z.output<typeof appKeySchema>

const passwordSchema = z.string().max(PASSWORD_LENGTH_MAX)
/** A Web3 Secret Storage (version 3) document. */
const keystoreSchema = z.record(z.string(), z.unknown())

export const emetIdentityApi = defineApi({
  base: EMET_BASE,
  tag: 'emet: identity',
  description: 'Identities of this node, and the app keys bound to them',
  malformed,
  routes: {
    list: {
      method: 'GET',
      path: '/identities',
      access: 'manager',
      summary: 'The identities of this node, the default one first',
      success: { status: 200, body: z.array(identitySchema) },
      errors: [],
    },
    create: {
      method: 'POST',
      path: '/identities',
      access: 'manager',
      summary: 'Makes an identity, with a new key or a given one',
      body: z.object({
        alias: maybe(shortTextSchema),
        privateKey: maybe(z.string().regex(/^(0x)?[0-9a-fA-F]{64}$/, 'not a private key (64 hex digits)')),
        password: maybe(passwordSchema).describe('Default: none, the identity is unlocked at every start'),
        setDefault: maybe(z.boolean()),
      }),
      success: { status: 201, body: identitySchema },
      errors: [400, 409],
    },
    importKeystore: {
      method: 'POST',
      path: '/identities/import',
      access: 'manager',
      summary: 'Makes an identity of a keystore',
      body: z.object({
        keystore: keystoreSchema,
        password: passwordSchema,
        alias: maybe(shortTextSchema),
        setDefault: maybe(z.boolean()),
      }),
      success: { status: 201, body: identitySchema },
      errors: [400, 409],
    },
    exportKeystore: {
      method: 'GET',
      path: '/identities/:nodeId/keystore',
      access: 'manager',
      summary: 'The keystore of an identity, encrypted as it is kept',
      params: byNode,
      success: { status: 200, body: keystoreSchema },
      errors: [400, 404],
    },
    update: {
      method: 'PUT',
      path: '/identities/:nodeId',
      access: 'manager',
      summary: 'Renames an identity, or makes it the default one',
      params: byNode,
      body: z.object({ alias: shortTextSchema.nullable().optional(), setDefault: maybe(z.boolean()) }),
      success: { status: 200, body: identitySchema },
      errors: [400, 404, 409],
    },
    drop: {
      method: 'DELETE',
      path: '/identities/:nodeId',
      access: 'manager',
      summary: 'Deletes an identity and its key',
      params: byNode,
      success: done,
      errors: [400, 404, 409],
    },
    lock: {
      method: 'POST',
      path: '/identities/:nodeId/lock',
      access: 'manager',
      summary: 'Forgets the decrypted key of an identity',
      params: byNode,
      success: done,
      errors: [400, 404, 409],
    },
    unlock: {
      method: 'POST',
      path: '/identities/:nodeId/unlock',
      access: 'manager',
      summary: 'Decrypts the key of an identity',
      params: byNode,
      body: z.object({ password: passwordSchema }),
      success: done,
      errors: [400, 403, 404],
    },
    listAppKeys: {
      method: 'GET',
      path: '/app-keys',
      access: 'manager',
      summary: 'The app keys of this node',
      success: { status: 200, body: z.array(appKeySchema) },
      errors: [],
    },
    createAppKey: {
      method: 'POST',
      path: '/app-keys',
      access: 'manager',
      summary: 'Makes an app key; the same name and role on the same identity gets the key there is',
      body: z.object({
        name: shortTextSchema.min(1),
        nodeId: maybe(nodeIdSchema).describe('Default: the default identity'),
        role: maybe(z.enum(APP_KEY_ROLES)).describe('Default: manager. An agent trades, and does not change the node'),
        allowOrigins: maybe(z.array(shortTextSchema).max(ALLOWED_ORIGINS_MAX)),
      }),
      success: { status: 201, body: appKeySchema },
      errors: [400, 404, 409],
    },
    dropAppKey: {
      method: 'DELETE',
      path: '/app-keys/:name',
      access: 'manager',
      summary: 'Deletes an app key; it stops working at once',
      params: z.object({ name: idParam }),
      success: done,
      errors: [404],
    },
  },
})
