import { BusError } from '@emet/bus'
import type { NodeId, Role } from '@emet/core'
import { messageOf, routeOf } from './agreement.ts'
import type { Ledger } from './agreement-ledger.ts'
import type { MarketContext } from './context.ts'
import { MarketError } from './errors.ts'
import { RECONCILE_DELAYS_MS, RECONCILE_MAX, RECONCILE_TIMEOUT_MS } from './limits.ts'
import { type StateReply, stateInError, stateReplySchema } from './protocol.ts'
import type { AgreementRecord } from './types.ts'

/**
 * Brings both parties to the same state after messages got lost. Each exchange has one side with the last word, so that
 * asking it decides:
 *
 *     approval     provider: it is Approved as soon as the requestor's commit has arrived, and not before
 *     cancelling   provider: whichever of cancel and commit reaches it first
 *     rejection    provider: it never approves afterwards; the requestor is told until it knows
 *     termination  whoever has stored it; the other side follows
 */
export interface Settlement {
  /** The requestor's half of an approval: tells the provider that we commit, until it has an answer. */
  commit(agreement: AgreementRecord): void
  /** Settles an agreement in doubt with its peer, now or when the peer can be reached again. */
  settle(agreement: Pick<AgreementRecord, 'agreementId' | 'role'>): void
  /** Settles everything in doubt. At start, and when a peer has come. */
  settleAll(peers?: ReadonlySet<NodeId>): void
}

export function createSettlement(context: MarketContext, ledger: Ledger): Settlement {
  const running = new Set<string>()

  /** Tries until `attempt` says that nothing is in doubt any more; one at a time per agreement. */
  const persist = (agreementId: string, role: Role, attempt: (a: AgreementRecord) => Promise<boolean>) => {
    const key = `${role}:${agreementId}`
    if (running.has(key) || running.size >= RECONCILE_MAX) return
    running.add(key)
    context.tasks.run('settle an agreement', async () => {
      try {
        for (const delayMs of [...RECONCILE_DELAYS_MS, 0]) {
          const agreement = ledger.find(agreementId, role)
          if (!agreement || (await attempt(agreement))) return
          await context.clock.sleep(delayMs, context.tasks.signal)
        }
      } finally {
        running.delete(key)
      }
    })
  }
  const commit = (agreement: AgreementRecord) =>
    persist(agreement.agreementId, agreement.role, (current) => tryCommit(context, ledger, current))
  const settle: Settlement['settle'] = ({ agreementId, role }) =>
    persist(agreementId, role, (current) => trySettle(context, ledger, current))
  return {
    commit,
    settle,
    settleAll: (peers) => {
      for (const agreement of context.store.agreements.unsettled()) {
        if (peers && !peers.has(agreement.peerId)) continue
        if (agreement.state === 'Approving' && agreement.role === 'requestor') commit(agreement)
        else if (peers === undefined || agreement.isInDoubt) settle(agreement)
      }
    },
  }
}

/** True when decided. Requestor's side, in `Approving`. */
async function tryCommit(context: MarketContext, ledger: Ledger, agreement: AgreementRecord): Promise<boolean> {
  if (agreement.state !== 'Approving') return true
  try {
    await context.send(routeOf(agreement), 'AgreementCommitted', messageOf.committed(agreement))
    afterCommit(ledger, agreement, 'Approved')
    return true
  } catch (error) {
    if (!(error instanceof MarketError) || error.code !== 'peer-refused') return false
    afterCommit(ledger, agreement, stateInError(error) ?? 'Pending')
    return true
  }
}

/** Applies what the provider says of our commit, unless another message was faster. */
function afterCommit(ledger: Ledger, agreement: AgreementRecord, peerState: string): void {
  const current = ledger.current(agreement)
  if (current.state !== 'Approving') return
  if (peerState === 'Approved' || peerState === 'Terminated') ledger.move(current, 'commit')
  else if (peerState === 'Cancelled') ledger.move(current, 'cancel')
  else if (peerState === 'Expired') ledger.move(current, 'expire')
  else ledger.move(current, 'revert', { approvedUs: null })
}

/** True when decided, or when the peer cannot tell. */
async function trySettle(context: MarketContext, ledger: Ledger, agreement: AgreementRecord): Promise<boolean> {
  if (!agreement.isInDoubt && agreement.state !== 'Approving') return true
  if (agreement.state === 'Rejected') return retellRejection(context, ledger, agreement)
  const reply = await askState(context, agreement)
  if (reply === 'unreachable') return false
  const current = ledger.current(agreement)
  if (reply !== 'unknown') follow(ledger, current, reply)
  const after = ledger.current(agreement)
  if (after.state === 'Approving' && after.role === 'provider') ledger.move(after, 'revert', { approvedUs: null })
  else if (after.isInDoubt) ledger.note(after, { isInDoubt: false })
  return true
}

/** Moves our record to where the peer's is, if the peer has the last word on it. */
function follow(ledger: Ledger, ours: AgreementRecord, theirs: StateReply): void {
  const { state, role } = ours
  const facts = { reason: theirs.reason }
  if (state === 'Approved' && theirs.state === 'Terminated') {
    ledger.move(ours, 'terminate', {
      ...facts,
      terminator: theirs.terminator ?? (role === 'provider' ? 'requestor' : 'provider'),
    })
  } else if (role === 'provider' && state === 'Approving') {
    // The requestor has accepted the approval, so its commit is on the way or got lost: either way it is a deal.
    const isCommitted = theirs.state === 'Approving' || theirs.state === 'Approved' || theirs.state === 'Terminated'
    if (isCommitted) ledger.move(ours, 'commit')
    else if (theirs.state === 'Cancelled') ledger.move(ours, 'cancel', facts)
  } else if (role === 'requestor' && (state === 'Pending' || state === 'Approving')) {
    if (theirs.state === 'Cancelled') ledger.move(ours, 'cancel', facts)
    else if (theirs.state === 'Rejected' && state === 'Pending') ledger.move(ours, 'reject', facts)
  }
}

async function retellRejection(context: MarketContext, ledger: Ledger, agreement: AgreementRecord): Promise<boolean> {
  const message = messageOf.rejected(agreement, agreement.reason, context.instants.now())
  try {
    await context.send(routeOf(agreement), 'AgreementRejected', message)
  } catch (error) {
    if (!(error instanceof MarketError) || error.code !== 'peer-refused') return false
  }
  ledger.note(agreement, { isInDoubt: false })
  return true
}

/** The state at the peer. `unknown` when the peer does not know our question, or the agreement. */
async function askState(
  context: MarketContext,
  agreement: AgreementRecord,
): Promise<StateReply | 'unknown' | 'unreachable'> {
  const { agreementId } = messageOf.committed(agreement)
  try {
    const options = { timeoutMs: RECONCILE_TIMEOUT_MS }
    const reply = stateReplySchema.safeParse(
      await context.send(routeOf(agreement), 'GetState', { agreementId }, options),
    )
    return reply.success ? reply.data : 'unknown'
  } catch (error) {
    if (!(error instanceof MarketError)) throw error
    if (error.code === 'peer-refused') return 'unknown'
    return error.cause instanceof BusError && error.cause.code === 'no-endpoint' ? 'unknown' : 'unreachable'
  }
}
