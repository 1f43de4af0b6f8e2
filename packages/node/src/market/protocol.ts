/**
 * Negotiation messages between nodes. Golem wire §4.3: addresses below `/public/market/protocol/mk1/negotiation/`,
 * fields in camelCase, `ProposalContent` in snake_case, timestamps without a zone. There are no signatures: the field is
 * a constant text. What counts is the proven sender, which every handler checks.
 */
import type { Bus, BusCall } from '@emet/bus'
import { BusError, ReplyError } from '@emet/bus'
import {
  messageOf,
  type NodeId,
  parseAgreementId,
  parseInstant,
  parseProposalId,
  parseSubscriptionId,
  type Reason,
  type Role,
  reasonSchema,
} from '@emet/core'
import { z } from 'zod'
import { MarketError } from './errors.ts'
import {
  CONSTRAINTS_BYTES_MAX,
  NEGOTIATION_TIMEOUT_MS,
  PROPERTIES_BYTES_MAX,
  REASON_BYTES_MAX,
  TEXT_LENGTH_MAX,
} from './limits.ts'

const BASE = '/market/protocol/mk1/negotiation'
/** Our own question about an agreement in doubt; an original node does not know it. */
const STATE_ADDRESS = '/market/emet/agreement'

/** What the signature fields hold. Golem wire: constants. */
export const NO_SIGNATURE = 'NoSignature'
export const NOT_SIGNED = 'NotSigned'

const text = z.string().max(TEXT_LENGTH_MAX)
const id = <T extends string>(parse: (given: string) => T | undefined, what: string) =>
  text.transform((given, context): T => {
    const parsed = parse(given)
    if (parsed !== undefined) return parsed
    context.addIssue({ code: 'custom', message: `not ${what}: ${JSON.stringify(given)}` })
    return z.NEVER
  })
const proposalId = id(parseProposalId, 'a proposal id')
const agreementId = id(parseAgreementId, 'an agreement id')
const subscriptionId = id(parseSubscriptionId, 'a subscription id')
const instantText = text.refine((value) => parseInstant(value) !== undefined, 'not a date and time')
const reason = reasonSchema
  .refine(
    (value) => JSON.stringify(value).length <= REASON_BYTES_MAX,
    `a reason takes at most ${REASON_BYTES_MAX} bytes`,
  )
  .nullish()
  .transform((value): Reason | null => value ?? null)

const proposalContent = z.object({
  proposal_id: proposalId,
  properties: z.string().max(PROPERTIES_BYTES_MAX),
  constraints: z.string().max(CONSTRAINTS_BYTES_MAX),
  creation_ts: instantText,
  expiration_ts: instantText,
})
export type ProposalContent = z.output<typeof proposalContent>

const signature = z.string().max(1_000)

/** The body of each message, by name. */
export const messages = {
  InitialProposalReceived: z.object({ proposal: proposalContent, offerId: subscriptionId, demandId: subscriptionId }),
  ProposalReceived: z.object({ prevProposalId: proposalId, proposal: proposalContent }),
  ProposalRejected: z.object({ proposalId, initial: z.boolean().nullish(), reason }),
  AgreementReceived: z.object({
    proposalId,
    agreementId,
    creationTs: instantText,
    validTo: instantText,
    signature,
  }),
  AgreementCancelled: z.object({ agreementId, reason, cancellationTs: instantText }),
  AgreementCommitted: z.object({ agreementId, signature }),
  AgreementApproved: z.object({ agreementId, signature, approvedTs: instantText }),
  AgreementRejected: z.object({ agreementId, reason, rejectionTs: instantText }),
  AgreementTerminated: z.object({ agreementId, reason, signature, terminationTs: instantText }),
  GetState: z.object({ agreementId }),
} as const

export type MessageName = keyof typeof messages
export type Message<N extends MessageName> = z.output<(typeof messages)[N]>

/** Our answer to `GetState`. */
export const stateReplySchema = z.object({
  state: z.string().max(20),
  terminator: z.enum(['requestor', 'provider']).nullish(),
  reason,
})
export type StateReply = z.output<typeof stateReplySchema>

/** Which part of the receiver handles a message, by the receiver's role. */
const PARTS: Record<MessageName, 'proposal' | 'agreement' | 'state'> = {
  InitialProposalReceived: 'proposal',
  ProposalReceived: 'proposal',
  ProposalRejected: 'proposal',
  AgreementReceived: 'agreement',
  AgreementCancelled: 'agreement',
  AgreementCommitted: 'agreement',
  AgreementApproved: 'agreement',
  AgreementRejected: 'agreement',
  AgreementTerminated: 'agreement',
  GetState: 'state',
}

function pathOf(receiver: Role, name: MessageName): string {
  return PARTS[name] === 'state' ? `${STATE_ADDRESS}/${receiver}/${name}` : `${BASE}/${receiver}/${PARTS[name]}/${name}`
}

/** Sends one message to the counterpart and returns its answer. Throws `peer-refused` or `peer-unreachable`. */
export type Send = <N extends MessageName>(
  route: { from: NodeId; to: NodeId; receiver: Role },
  name: N,
  body: z.input<(typeof messages)[N]>,
  options?: { timeoutMs?: number; signal?: AbortSignal | undefined },
) => Promise<unknown>

export function createSender(bus: Bus, stopping: AbortSignal): Send {
  return async ({ from, to, receiver }, name, body, options = {}) => {
    try {
      return await bus.call(`/net/${to}${pathOf(receiver, name)}`, body, {
        caller: { kind: 'local', nodeId: from },
        timeoutMs: options.timeoutMs ?? NEGOTIATION_TIMEOUT_MS,
        signal: options.signal ? AbortSignal.any([options.signal, stopping]) : stopping,
      })
    } catch (cause) {
      if (stopping.aborted) throw new MarketError('peer-unreachable', 'the market is stopping', { peer: to }, { cause })
      throw asMarketError(cause, to, name)
    }
  }
}

function asMarketError(cause: unknown, to: NodeId, name: string): unknown {
  if (cause instanceof ReplyError) {
    const message = `node ${to} refused ${name}: ${JSON.stringify(cause.data)}`
    return new MarketError('peer-refused', message, { peer: to, data: cause.data }, { cause })
  }
  if (cause instanceof BusError) {
    const message = `node ${to} did not answer ${name}: ${messageOf(cause)}; try again later`
    return new MarketError('peer-unreachable', message, { peer: to, busCode: cause.code }, { cause })
  }
  return cause
}

/**
 * The state that an error answer names, if it does: `{"Remote":[{"InvalidState":["id","Approved"]},"id"]}` and
 * `{"Remote":{"Expired":"id"}}` alike. Golem wire: the error enums of §4.3.
 */
export function stateInError(error: unknown): string | undefined {
  if (!(error instanceof MarketError) || error.code !== 'peer-refused') return undefined
  const found: string[] = []
  const visit = (value: unknown, depth: number) => {
    if (depth > 8) return
    if (typeof value === 'string') found.push(value)
    else if (typeof value === 'object' && value !== null) {
      for (const [key, inner] of Object.entries(value)) {
        found.push(key)
        visit(inner, depth + 1)
      }
    }
  }
  visit(error.facts['data'], 0)
  const states = [
    'Proposal',
    'Pending',
    'Approving',
    'Cancelled',
    'Rejected',
    'Approved',
    'Expired',
    'Terminated',
    'NotFound',
  ]
  return states.find((state) => found.includes(state))
}

/** The node that sent a message, as proven. */
export type Handle<N extends MessageName> = (sender: NodeId, message: Message<N>) => Promise<unknown> | unknown

/**
 * Binds a handler for a message to `receiver`. A message that does not parse is a bad request; what the handler throws
 * must be a `ReplyError` with the documented enum.
 */
export function bindMessage<N extends MessageName>(
  deps: { bus: Bus; ownId: () => NodeId },
  receiver: Role,
  name: N,
  handle: Handle<N>,
): () => void {
  return deps.bus.bind(`/public${pathOf(receiver, name)}`, async (call) => {
    const parsed = messages[name].safeParse(call.body.value())
    if (!parsed.success) throw new BusError('bad-request', `${name}: ${z.prettifyError(parsed.error)}`, { name })
    return (await handle(senderOf(call, deps.ownId()), parsed.data as Message<N>)) ?? null
  })
}

/** Who sent a call: another node, or one of our identities. */
export function senderOf(call: Pick<BusCall, 'caller'>, ownId: NodeId): NodeId {
  return call.caller.nodeId ?? ownId
}

/** The answers with the original's error enums. Golem wire §4.3. */
export const refusals = {
  counter: (remote: unknown, id: string) => new ReplyError({ Remote: [remote, id] }),
  reject: (get: unknown) => new ReplyError({ Get: get }),
  propose: (remote: unknown, id: string) => new ReplyError({ Remote: [remote, id] }),
  agreement: (remote: unknown) => new ReplyError({ Remote: remote }),
  commit: (remote: unknown, id: string) => new ReplyError({ Remote: [remote, id] }),
} as const

export const otherRole = (role: Role): Role => (role === 'provider' ? 'requestor' : 'provider')
