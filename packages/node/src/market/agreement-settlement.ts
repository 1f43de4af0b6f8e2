import { BusError } from '@emet/bus'
import type { NodeId } from '@emet/core'
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
  /**
   * Settles an agreement in doubt with its peer, now or when the peer can be reached again. An approval that a requestor
   * has accepted is settled by committing to it.
   */
  settle(agreement: Pick<AgreementRecord, 'agreementId' | 'role'>): void
  /** One attempt, waited for. True when nothing is in doubt any more. */
  settleNow(agreement: AgreementRecord): Promise<boolean>
  /** Settles everything in doubt. At start, and when a peer has come. */
  settleAll(peers?: ReadonlySet<NodeId>): void
}

export function createSettlement(context: MarketContext, ledger: Ledger): Settlement {
  const running = new Map<string, { isStale: boolean; nap: AbortController }>()

  /** Tries until nothing is in doubt any more. One at a time per agreement; a further request makes it look again. */
  const settle: Settlement['settle'] = ({ agreementId, role }) => {
    const key = `${role}:${agreementId}`
    const before = running.get(key)
    if (before) {
      before.isStale = true
      before.nap.abort()
      return
    }
    if (running.size >= RECONCILE_MAX) return
    const run = { isStale: false, nap: new AbortController() }
    running.set(key, run)
    context.tasks.run('settle an agreement', async () => {
      try {
        for (let attempt = 0; attempt <= RECONCILE_DELAYS_MS.length; attempt++) {
          run.isStale = false
          const agreement = ledger.find(agreementId, role)
          const isSettled = !agreement || (await trySettle(context, ledger, agreement))
          if (run.isStale) attempt = -1
          else if (isSettled) return
          else await nap(context, run, RECONCILE_DELAYS_MS[attempt] ?? 0)
        }
      } finally {
        running.delete(key)
      }
    })
  }
  return {
    settle,
    settleNow: (agreement) => trySettle(context, ledger, agreement),
    settleAll: (peers) => {
      for (const agreement of context.store.agreements.unsettled()) {
        const isOurs = agreement.role === 'requestor' || agreement.isInDoubt
        // A provider that waits for a commit in this very process is not in doubt; at start none is.
        if (peers === undefined || (peers.has(agreement.peerId) && isOurs)) settle(agreement)
      }
    },
  }
}

/** Sleeps until the next attempt is due, or somebody asks for one. */
async function nap(
  { clock, tasks }: MarketContext,
  run: { isStale: boolean; nap: AbortController },
  delayMs: number,
): Promise<void> {
  try {
    await clock.sleep(delayMs, AbortSignal.any([run.nap.signal, tasks.signal]))
  } catch (error) {
    if (tasks.signal.aborted) throw error
    run.nap = new AbortController()
  }
}

/** The requestor's half of an approval: tells the provider that we commit. True when decided. */
async function tryCommit(context: MarketContext, ledger: Ledger, agreement: AgreementRecord): Promise<boolean> {
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
  else {
    const reverted = ledger.move(current, 'revert', { approvedUs: null })
    if (peerState === 'Rejected') ledger.move(reverted, 'reject')
  }
}

/** True when decided, or when the peer cannot tell. */
async function trySettle(context: MarketContext, ledger: Ledger, agreement: AgreementRecord): Promise<boolean> {
  if (!agreement.isInDoubt && agreement.state !== 'Approving') return true
  if (agreement.state === 'Rejected') return retellRejection(context, ledger, agreement)
  if (agreement.state === 'Approving' && agreement.role === 'requestor') return tryCommit(context, ledger, agreement)
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
    else if (theirs.state === 'Rejected') {
      ledger.move(state === 'Approving' ? ledger.move(ours, 'revert', { approvedUs: null }) : ours, 'reject', facts)
    }
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
