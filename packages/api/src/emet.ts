/** Our additions under `/emet/v1`: what the command line, the provider agent and the SDK need beside the published API. */
import {
  ACTIVITY_STATES,
  AGREEMENT_STATES,
  amountSchema,
  instantSchema,
  MARKET_ROLES,
  maybe,
  nodeIdSchema,
  nullable,
  offerSchema,
  shortTextSchema,
} from '@emet/core'
import { z } from 'zod'
import { booleanQuery, idParam, intQuery, listQuery } from './query.ts'
import { defineApi, type MalformedAnswers, nullSchema } from './route.ts'

/** Most items of one answer, where the client may ask for fewer. */
export const LIST_ITEMS_MAX = 10_000
/** Longest password of a keystore, in characters. */
export const PASSWORD_LENGTH_MAX = 1024
/** Most origins that one app key allows. */
export const ALLOWED_ORIGINS_MAX = 100

const BASE = '/emet/v1'
const malformed: MalformedAnswers = { body: 'json', query: 'json', params: 'json' }
const done = { status: 200, body: nullSchema } as const

// --- identities and app keys

const identitySchema = z
  .object({ nodeId: nodeIdSchema, alias: nullable(z.string()), isDefault: z.boolean(), isLocked: z.boolean() })
  .meta({ id: 'Identity' })
export type IdentityDocument = z.output<typeof identitySchema>

const appKeySchema = z
  .object({
    key: z.string(),
    name: z.string(),
    role: z.string(),
    nodeId: nodeIdSchema,
    allowOrigins: z.array(z.string()),
    created: instantSchema,
  })
  .meta({ id: 'AppKey' })
export type AppKeyDocument = z.output<typeof appKeySchema>

const passwordSchema = z.string().max(PASSWORD_LENGTH_MAX)
const byNode = z.object({ nodeId: nodeIdSchema })
/** A Web3 Secret Storage (version 3) document. */
const keystoreSchema = z.record(z.string(), z.unknown())

export const emetIdentityApi = defineApi({
  base: BASE,
  tag: 'emet: identity',
  description: 'Identities of this node, and the app keys bound to them',
  malformed,
  routes: {
    list: {
      method: 'GET',
      path: '/identities',
      summary: 'The identities of this node, the default one first',
      success: { status: 200, body: z.array(identitySchema) },
      errors: [],
    },
    create: {
      method: 'POST',
      path: '/identities',
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
      summary: 'The keystore of an identity, encrypted as it is kept',
      params: byNode,
      success: { status: 200, body: keystoreSchema },
      errors: [400, 404],
    },
    update: {
      method: 'PUT',
      path: '/identities/:nodeId',
      summary: 'Renames an identity, or makes it the default one',
      params: byNode,
      body: z.object({ alias: shortTextSchema.nullable().optional(), setDefault: maybe(z.boolean()) }),
      success: { status: 200, body: identitySchema },
      errors: [400, 404, 409],
    },
    drop: {
      method: 'DELETE',
      path: '/identities/:nodeId',
      summary: 'Deletes an identity and its key',
      params: byNode,
      success: done,
      errors: [400, 404, 409],
    },
    lock: {
      method: 'POST',
      path: '/identities/:nodeId/lock',
      summary: 'Forgets the decrypted key of an identity',
      params: byNode,
      success: done,
      errors: [400, 404, 409],
    },
    unlock: {
      method: 'POST',
      path: '/identities/:nodeId/unlock',
      summary: 'Decrypts the key of an identity',
      params: byNode,
      body: z.object({ password: passwordSchema }),
      success: done,
      errors: [400, 403, 404],
    },
    listAppKeys: {
      method: 'GET',
      path: '/app-keys',
      summary: 'The app keys of this node',
      success: { status: 200, body: z.array(appKeySchema) },
      errors: [],
    },
    createAppKey: {
      method: 'POST',
      path: '/app-keys',
      summary: 'Makes an app key; the same name on the same identity gets the key there is',
      body: z.object({
        name: shortTextSchema.min(1),
        nodeId: maybe(nodeIdSchema).describe('Default: the default identity'),
        allowOrigins: maybe(z.array(shortTextSchema).max(ALLOWED_ORIGINS_MAX)),
      }),
      success: { status: 201, body: appKeySchema },
      errors: [400, 404, 409],
    },
    dropAppKey: {
      method: 'DELETE',
      path: '/app-keys/:name',
      summary: 'Deletes an app key; it stops working at once',
      params: z.object({ name: idParam }),
      success: done,
      errors: [404],
    },
  },
})

// --- peers

const peerSchema = z
  .object({
    nodeId: nodeIdSchema,
    state: z.enum(['connecting', 'connected', 'backing-off']),
    roles: z.array(z.string()),
    aliases: z.array(nodeIdSchema),
    path: z.enum(['direct', 'relayed']),
    endpoint: nullable(z.string()),
    transport: z.string(),
    connectedSince: nullable(instantSchema),
    roundTripMs: nullable(z.number()),
  })
  .meta({ id: 'Peer' })
export type PeerDocument = z.output<typeof peerSchema>

export const emetNetApi = defineApi({
  base: BASE,
  tag: 'emet: net',
  description: 'Peers of this node',
  malformed,
  routes: {
    getStatus: {
      method: 'GET',
      path: '/net/status',
      summary: 'Who this node is in the network and where others reach it',
      success: {
        status: 200,
        body: z.object({
          nodeId: nodeIdSchema,
          endpoints: z.array(z.string()),
          listenAddress: nullable(z.string()),
          publicAddress: nullable(z.string()),
          sessions: z.int().min(0),
        }),
      },
      errors: [],
    },
    listPeers: {
      method: 'GET',
      path: '/net/peers',
      summary: 'The peers this node knows, and their state',
      success: { status: 200, body: z.array(peerSchema) },
      errors: [],
    },
    connect: {
      method: 'POST',
      path: '/net/peers',
      summary: 'Connects to a peer: a node id, which is looked up, or an endpoint',
      body: z.object({ target: shortTextSchema.min(1) }),
      success: { status: 200, body: peerSchema },
      errors: [400, 404, 504],
    },
    disconnect: {
      method: 'DELETE',
      path: '/net/peers/:nodeId',
      summary: 'Closes the connection to a peer',
      params: byNode,
      success: done,
      errors: [400, 404],
    },
  },
})

// --- files

const fileUrl = shortTextSchema.min(1)
const publishedSchema = z
  .object({ url: z.string(), sha3: z.string(), sizeBytes: z.int().min(0) })
  .meta({ id: 'PublishedFile' })
export type PublishedFileDocument = z.output<typeof publishedSchema>

const fileSchema = z
  .object({
    url: z.string(),
    direction: z.enum(['publish', 'receive']).describe('publish: peers read it; receive: a peer may write it'),
    path: nullable(z.string()).describe('Where it is on the disk of the node'),
    state: z.enum(['open', 'transferring', 'done', 'failed']),
    sizeBytes: nullable(z.int().min(0)),
    transferredBytes: z.int().min(0),
    sha3: nullable(z.string()),
    message: nullable(z.string()),
  })
  .meta({ id: 'File' })
export type FileDocument = z.output<typeof fileSchema>

export const emetFilesApi = defineApi({
  base: BASE,
  tag: 'emet: files',
  description: 'Files published to peers, and files that peers may upload',
  malformed,
  routes: {
    publish: {
      method: 'POST',
      path: '/files/publish',
      summary: 'Publishes a file on the disk of the node',
      body: z.object({ path: z.string().min(1).max(4096) }),
      success: { status: 200, body: publishedSchema },
      errors: [400, 404],
    },
    receive: {
      method: 'POST',
      path: '/files/receive',
      summary: 'Opens a URL that a peer may upload one file to. Without a path the node keeps the bytes',
      body: z.object({ path: maybe(z.string().min(1).max(4096)) }),
      success: { status: 200, body: z.object({ url: z.string() }) },
      errors: [400, 403],
    },
    list: {
      method: 'GET',
      path: '/files',
      summary: 'Files published or received, and how far they are',
      query: z.object({ urls: maybe(listQuery) }),
      success: { status: 200, body: z.array(fileSchema) },
      errors: [400],
    },
    close: {
      method: 'DELETE',
      path: '/files',
      summary: 'Closes a URL; bytes that only the node keeps are deleted',
      query: z.object({ url: fileUrl }),
      success: done,
      errors: [400, 404],
    },
    publishContent: {
      method: 'PUT',
      path: '/files/content',
      summary: 'Publishes the bytes of the request body',
      body: 'bytes',
      success: { status: 200, body: publishedSchema },
      errors: [400, 413, 507],
    },
    getContent: {
      method: 'GET',
      path: '/files/content',
      summary: 'The bytes behind a URL of this node: what was received, or was published',
      query: z.object({ url: fileUrl }),
      success: { status: 200, body: 'bytes' },
      errors: [400, 404, 409],
    },
  },
})

// --- payment

const totalsSchema = z.object({ totalAmount: amountSchema, agreementsCount: z.int().min(0) })
const flowSchema = z.object({ requested: totalsSchema, accepted: totalsSchema, confirmed: totalsSchema })
const paymentStatusSchema = z
  .object({
    driver: z.string(),
    network: z.string(),
    token: z.string(),
    platform: z.string(),
    address: z.string(),
    amount: amountSchema.describe('Balance of the token'),
    reserved: amountSchema.describe('Remaining amounts of unreleased allocations'),
    gas: nullable(z.object({ currencyShortName: z.string(), balance: amountSchema })),
    incoming: flowSchema,
    outgoing: flowSchema,
    blockNumber: nullable(z.int().min(0)),
    blockTime: nullable(instantSchema),
  })
  .meta({ id: 'PaymentStatus' })
export type PaymentStatusDocument = z.output<typeof paymentStatusSchema>

const paymentNetworkSchema = z
  .object({
    driver: z.string(),
    network: z.string(),
    chainId: z.int().min(0),
    token: z.string(),
    tokenAddress: z.string(),
    platform: z.string(),
    isTestnet: z.boolean(),
    canFund: z.boolean(),
  })
  .meta({ id: 'PaymentNetwork' })
export type PaymentNetworkDocument = z.output<typeof paymentNetworkSchema>

export const emetPaymentApi = defineApi({
  base: BASE,
  tag: 'emet: payment',
  description: 'Balances, funding and payment networks',
  malformed,
  routes: {
    getStatus: {
      method: 'GET',
      path: '/payment/status',
      summary: 'Balances, reserved funds, and what is requested, accepted and confirmed both ways',
      query: z.object({
        network: maybe(shortTextSchema),
        driver: maybe(shortTextSchema),
        after: maybe(instantSchema).describe('Counts documents made after this instant only'),
      }),
      success: { status: 200, body: paymentStatusSchema },
      errors: [400, 404, 502],
    },
    fund: {
      method: 'POST',
      path: '/payment/fund',
      summary: 'Gets test tokens and gas from the faucet of a test network',
      body: z.object({ network: maybe(shortTextSchema), driver: maybe(shortTextSchema) }),
      success: {
        status: 200,
        body: z.object({ message: z.string(), transactions: z.array(z.string()) }),
      },
      errors: [400, 404, 502, 504],
    },
    listNetworks: {
      method: 'GET',
      path: '/payment/networks',
      summary: 'The payment networks this node can use',
      success: { status: 200, body: z.array(paymentNetworkSchema) },
      errors: [],
    },
  },
})

// --- market

const explanationSchema = z
  .object({
    demandId: z.string(),
    steps: z
      .array(z.object({ name: z.string().describe('e.g. known, live, offer matches demand'), offers: z.int().min(0) }))
      .describe('A funnel: each step keeps some of the offers of the step before'),
    reasons: z
      .array(z.object({ step: z.string(), message: z.string(), offers: z.int().min(0), examples: z.array(z.string()) }))
      .describe('Why offers fell out, the most frequent first'),
  })
  .meta({ id: 'Explanation' })
export type ExplanationDocument = z.output<typeof explanationSchema>

export const emetMarketApi = defineApi({
  base: BASE,
  tag: 'emet: market',
  description: 'What this node knows of the market',
  malformed,
  routes: {
    listKnownOffers: {
      method: 'GET',
      path: '/market/offers',
      summary: 'The live offers this node knows, of any provider',
      query: z.object({
        constraints: maybe(z.string().max(65_536)).describe('Only offers that match'),
        maxItems: maybe(intQuery(1, LIST_ITEMS_MAX)),
      }),
      success: { status: 200, body: z.array(offerSchema) },
      errors: [400],
    },
    explain: {
      method: 'GET',
      path: '/market/explain/:demandId',
      summary: 'Why a demand finds the offers it finds, and not others',
      params: z.object({ demandId: idParam }),
      success: { status: 200, body: explanationSchema },
      errors: [400, 404],
    },
  },
})

// --- activities

const activityViewSchema = z
  .object({
    activityId: z.string(),
    agreementId: z.string(),
    role: z.enum(MARKET_ROLES),
    peerId: nodeIdSchema,
    state: z.tuple([z.enum(ACTIVITY_STATES), z.enum(ACTIVITY_STATES).nullable()]),
    agreementState: nullable(z.enum(AGREEMENT_STATES)),
    reason: nullable(z.string()),
    currentUsage: nullable(z.array(z.number())),
    createdAt: instantSchema,
    updatedAt: instantSchema,
  })
  .meta({ id: 'ActivityView' })
export type ActivityViewDocument = z.output<typeof activityViewSchema>

export const emetActivityApi = defineApi({
  base: BASE,
  tag: 'emet: activity',
  description: 'Activities of this node in both roles',
  malformed,
  routes: {
    list: {
      method: 'GET',
      path: '/activities',
      summary: "The identity's activities in both roles, the newest first",
      query: z.object({
        role: maybe(z.enum(MARKET_ROLES)),
        alive: maybe(booleanQuery).describe('true: only those not terminated; false: only those terminated'),
        agreementId: maybe(shortTextSchema),
        maxItems: maybe(intQuery(1, LIST_ITEMS_MAX)),
      }),
      success: { status: 200, body: z.array(activityViewSchema) },
      errors: [400],
    },
  },
})

// --- the node

const statusSchema = z
  .object({
    nodeId: nodeIdSchema,
    version: z.string(),
    startedAt: instantSchema,
    uptimeSeconds: z.number().min(0),
    peers: z.int().min(0),
    knownOffers: z.int().min(0),
    offers: z.int().min(0),
    demands: z.int().min(0),
    agreements: z.int().min(0).describe('Approved and not terminated'),
    activities: z.int().min(0).describe('Not terminated'),
  })
  .meta({ id: 'NodeStatus' })
export type NodeStatusDocument = z.output<typeof statusSchema>

export const emetNodeApi = defineApi({
  base: BASE,
  tag: 'emet: node',
  description: 'The daemon itself',
  malformed,
  routes: {
    getStatus: {
      method: 'GET',
      path: '/status',
      summary: 'What the daemon is doing, in numbers',
      success: { status: 200, body: statusSchema },
      errors: [],
    },
    getConfig: {
      method: 'GET',
      path: '/config',
      summary: 'The settings in effect; secrets are left out',
      success: { status: 200, body: z.record(z.string(), z.unknown()) },
      errors: [],
    },
    shutdown: {
      method: 'POST',
      path: '/shutdown',
      summary: 'Stops the daemon, after this answer',
      success: done,
      errors: [],
    },
  },
})
