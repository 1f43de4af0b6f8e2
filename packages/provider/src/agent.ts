import {
  type Agreement,
  type AgreementOperationEvent,
  expandProperties,
  type FlatProperties,
  type ProviderEvent,
} from '@emet/core'
import { createCapacity } from './capacity.ts'
import { readConfig, watchConfig } from './config.ts'
import { ProviderError } from './errors.ts'
import { followActivities, followAgreements } from './follow.ts'
import { type ProviderOptions, providerOptionsSchema } from './options.ts'
import { createRental, type Rental, type RentalInput } from './rental.ts'
import { findUnfinished } from './resume.ts'
import { createShop, type Shop } from './shop.ts'
import type { ProviderAgent, ProviderDeps } from './types.ts'

/** Stable over restarts, so that a restarted agent hears of its former agreements. (Golem: `appSessionId`.) */
const SESSION_ID = 'emet-provider'
/** How long a stop waits for agreements to end and bills to be delivered. What is left goes on at the next start. */
const STOP_LIMIT_MS = 3_000

export function createProviderAgent(deps: ProviderDeps, given: ProviderOptions): ProviderAgent {
  const { client, clock, logger, machine, folder } = deps
  const options = providerOptionsSchema.parse(given)
  const life = new AbortController()
  const { signal } = life
  const rentals = new Map<string, Rental>()
  const capacity = createCapacity(options.negotiation.maxSimultaneousAgreements)
  const loops = new Set<Promise<void>>()
  let nodeId = ''
  let shop: Shop | undefined
  let stopWatching = () => {}

  const adopt = (agreement: Agreement, past: RentalInput['past'] = []): Rental => {
    const { agreementId } = agreement
    const known = rentals.get(agreementId)
    if (known) return known
    const expandedAgreement = expandAgreement(agreement)
    const rental = createRental(deps, options, { agreement, expandedAgreement, past, signal })
    rentals.set(agreementId, rental)
    void rental.over.then(() => capacity.free(agreementId))
    void rental.finished.then(() => rentals.delete(agreementId))
    return rental
  }
  const onAgreementEvent = (event: AgreementOperationEvent) => {
    if (event.eventType !== 'AgreementTerminatedEvent' || event.terminator !== 'Requestor') return
    rentals.get(event.agreementId)?.terminatedByRequestor()
  }
  const onActivityEvent = async ({ activityId, agreementId, eventType }: ProviderEvent) => {
    const rental = rentals.get(agreementId) ?? (await findApproved(agreementId))
    if ('DestroyActivity' in eventType) rental?.destroyActivity(activityId)
    else rental?.createActivity(activityId)
  }
  /** A requestor may ask for an activity before the answer to our approval has reached us. */
  const findApproved = async (agreementId: string): Promise<Rental | undefined> => {
    const agreement = await client.market.getAgreement({ params: { agreementId }, signal }).catch(() => undefined)
    if (agreement?.state !== 'Approved' || agreement.offer.providerId !== nodeId) return undefined
    capacity.take(agreementId)
    return adopt(agreement)
  }
  const loop = (what: string, running: Promise<void>) => {
    const guarded: Promise<void> = running
      .catch((error) => {
        if (!signal.aborted) logger.error('the provider has stopped listening', { what, error })
      })
      .finally(() => loops.delete(guarded))
    loops.add(guarded)
  }

  const start = async () => {
    const config = readConfig(folder, machine)
    nodeId = (await client.root.getMe({ signal })).identity
    const accounts = await findAccounts(deps, options.paymentNetworks, config.globals.account ?? nodeId, signal)
    const runtimes = await deps.exeUnits.runtimes()
    if (runtimes.length === 0) {
      throw new ProviderError('nothing-to-sell', 'no runtime passes its self-test on this machine; the log says why')
    }
    const unfinished = await findUnfinished(deps, signal)
    for (const { agreement, past } of unfinished.rentals) {
      logger.info('an agreement goes on', { agreementId: agreement.agreementId, endedActivities: past.length })
      capacity.take(agreement.agreementId)
      adopt(agreement, past)
    }
    const follow = { sessionId: SESSION_ID, since: unfinished.since, signal }
    loop('agreement events', followAgreements(deps, options, follow, onAgreementEvent))
    loop('activity events', followActivities(deps, options, follow, onActivityEvent))
    const onApproved = (agreement: Agreement) => void adopt(agreement)
    shop = createShop(deps, options, { sessionId: SESSION_ID, runtimes, accounts, capacity, onApproved, signal })
    shop.arrange(config)
    stopWatching = watchConfig(folder, machine, logger, (changed) => shop?.arrange(changed))
  }
  const stop = async () => {
    stopWatching()
    const closed = shop?.close()
    for (const rental of rentals.values()) rental.break('Shutdown', 'the provider shuts down')
    const finished = Promise.all([closed, ...[...rentals.values()].map((rental) => rental.finished)])
    await Promise.race([finished, clock.sleep(STOP_LIMIT_MS)])
    life.abort()
    await Promise.all([closed, ...loops])
  }
  return {
    start,
    stop,
    status: () => ({
      nodeId,
      presets: shop?.presets() ?? [],
      rentals: [...rentals.values()].map(({ agreementId, state, activities }) => ({
        agreementId,
        state: state.kind,
        activities,
      })),
    }),
  }
}

/** Our accounts on the wanted networks (or platforms): platform to address. */
async function findAccounts(
  { client }: ProviderDeps,
  wanted: readonly string[],
  account: string,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const all = await client.payment.getProviderAccounts({ signal })
  const isWanted = ({ network, platform }: { network: string; platform: string }) =>
    wanted.length === 0 || wanted.includes(network) || wanted.includes(platform)
  const ours = all.filter((candidate) => candidate.address.toLowerCase() === account && isWanted(candidate))
  if (ours.length > 0) return Object.fromEntries(ours.map(({ platform, address }) => [platform, address]))
  const where = wanted.length > 0 ? wanted.join(', ') : 'any payment network'
  throw new ProviderError(
    'no-payment-platform',
    `the daemon has no account ${account} on ${where}; see \`emet payment status\``,
  )
}

/** Exe-units read the agreement as one tree, its properties expanded. (Golem: `agreement.json`.) */
function expandAgreement({ agreementId, demand, offer, validTo }: Agreement): unknown {
  const expand = (properties: Record<string, unknown>) => expandProperties(properties as FlatProperties)
  return {
    agreementId,
    validTo,
    demand: { ...demand, properties: expand(demand.properties) },
    offer: { ...offer, properties: expand(offer.properties) },
  }
}
