/**
 * The messages between daemons and index peers. Ours, not the original's: they live under `/public/market/emet/`, so
 * that an original node answers "endpoint address not found" and is left alone.
 *
 *     index/Put        a provider hands over its offers              → which were kept
 *     index/Withdraw   ... takes some back
 *     index/Heartbeat  ... still lives, with the digest of its offers → whether the index knows the same
 *     index/Watch      a requestor asks for the best matches now, and to be told of later ones
 *     index/Unwatch
 *     direct/Watch, direct/Unwatch   the same at any daemon, over its own offers only
 *     demand/Matched   the index tells the requestor of new matches
 */

import { nodeIdSchema } from '@emet/core'
import { z } from 'zod'
import { CONSTRAINTS_BYTES_MAX, PROPERTIES_BYTES_MAX, TEXT_LENGTH_MAX } from './limits.ts'
import { SHARDS } from './rendezvous.ts'
import type { SignedOffer } from './types.ts'

/** Offers in one message. */
export const OFFERS_PER_MESSAGE_MAX = 50
/** Ids in one withdrawal. */
export const WITHDRAWN_IDS_MAX = 200
/** Conditions told with an answer. */
const TALLY_KEYS_MAX = 64

export type IndexService = 'index' | 'direct'

export const indexAddress = (service: IndexService, message: string) => `/market/emet/${service}/${message}`
export const MATCHED_ADDRESS = '/market/emet/demand/Matched'

const text = z.string().max(TEXT_LENGTH_MAX)
const signatureSchema = z.string().regex(/^[0-9a-f]{130}$/, 'a signature is 65 bytes in hex')
const contentShape = {
  properties: z.string().max(PROPERTIES_BYTES_MAX),
  constraints: z.string().max(CONSTRAINTS_BYTES_MAX),
}

const signedOfferSchema = z
  .object({
    id: text,
    ...contentShape,
    node_id: nodeIdSchema,
    creation_ts: text,
    expiration_ts: text,
    signature: signatureSchema,
  })
  .transform(
    (offer): SignedOffer => ({
      id: offer.id,
      properties: offer.properties,
      constraints: offer.constraints,
      nodeId: offer.node_id,
      creationTs: offer.creation_ts,
      expirationTs: offer.expiration_ts,
      signature: offer.signature,
    }),
  )

/** The wire form of an offer, named as in the original's discovery messages. */
export function offerToWire(offer: SignedOffer) {
  return {
    id: offer.id,
    properties: offer.properties,
    constraints: offer.constraints,
    node_id: offer.nodeId,
    creation_ts: offer.creationTs,
    expiration_ts: offer.expirationTs,
    signature: offer.signature,
  }
}

const offersSchema = z.array(signedOfferSchema).max(OFFERS_PER_MESSAGE_MAX)

export const putSchema = z.object({ offers: offersSchema })
export const putReplySchema = z.object({
  results: z.array(z.object({ id: text, status: z.enum(['kept', 'refused']), why: z.string().max(1_000).nullish() })),
})
export type PutReply = z.output<typeof putReplySchema>

const signed = { nodeId: nodeIdSchema, atUs: z.int().min(0), signature: signatureSchema }
export const withdrawSchema = z.object({ ...signed, offerIds: z.array(text).max(WITHDRAWN_IDS_MAX) })
export const heartbeatSchema = z.object({ ...signed, offersDigest: text })
export const heartbeatReplySchema = z.object({ isKnown: z.boolean() })

export const watchSchema = z.object({
  watchId: text,
  /** A scan looks at properties only; a demand must match both ways. */
  kind: z.enum(['demand', 'scan']),
  ...contentShape,
  shards: z
    .array(
      z
        .int()
        .min(0)
        .max(SHARDS - 1),
    )
    .max(SHARDS),
  limit: z.int().min(0).max(OFFERS_PER_MESSAGE_MAX),
  /** Renewals count up, and see other offers where there are more than `limit`. */
  round: z.int().min(0),
  isStanding: z.boolean(),
})
export type WatchRequest = z.output<typeof watchSchema>

export const watchReplySchema = z.object({
  offers: offersSchema,
  seen: z.int().min(0),
  dropped: z.record(z.string().max(1_000), z.int().min(0)).refine((d) => Object.keys(d).length <= TALLY_KEYS_MAX),
  isStanding: z.boolean(),
})
export type WatchReply = z.output<typeof watchReplySchema>
export const unwatchSchema = z.object({ watchId: text })
export const matchedSchema = z.object({ watchId: text, offers: offersSchema })
