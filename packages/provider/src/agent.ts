import { hasStatus } from '@emet/api'
import type { Agreement, AgreementOperationEvent, ProviderEvent } from '@emet/core'
import { createCapacity } from './capacity.ts'
import { readConfig, watchConfig } from './config.ts'
import { ProviderError } from './errors.ts'
import { followActivities, followAgreements } from './follow.ts'
import { withdrawLeftOffers } from './offers.ts'
import { type ProviderOptions, providerOptionsSchema } from './options.ts'
import { createRentals } from './rentals.ts'
import { findRunning, findUnbilled } from './resume.ts'
import { untilDone } from './retry.ts'
import { createShop, type Shop } from './shop.ts'
import type { ProviderAgent, ProviderDeps } from './types.ts'
import { createWork } from './work.ts'

/** Stable over restarts, so that a restarted agent hears of its former agreements. (Golem: `appSessionId`.) */
const SESSION_ID = 'emet-provider'
/** How long a stop waits for agreements to end and bills to be delivered. What is left goes on at the next start. */
const STOP_LIMIT_MS = 1_500

/** The provider agent. `start()` throws `ProviderError` when there is nothing to sell or nowhere to be paid. */
export function createProviderAgent(deps: ProviderDeps, given: ProviderOptions): ProviderAgent {
  const { client, clock, logger, machine, folder } = deps
  const options = providerOptionsSchema.parse(given)
  const life = new AbortController()
  const { signal } = life
  const capacity = createCapacity(options.negotiation.maxSimultaneousAgreements)
  const rentals = createRentals(deps, options, capacity, signal)
  const work = createWork(logger, signal)
  let nodeId = ''
  let shop: Shop | undefined
  let stopWatching = () => {}

  /** A requestor may ask for an activity, or end the agreement, before the answer to our approval has reached us. */
  const findRental = async (agreementId: string) => {
    const known = rentals.get(agreementId)
    if (known) return known
    const agreement = await untilDone(deps, 'look at an agreement', { pauseMs: options.retryMs }, signal, () =>
      client.market.getAgreement({ params: { agreementId }, signal }).catch((error) => {
        if (hasStatus(error, 400, 404)) return undefined
        throw error
      }),
    )
    const isOurs = agreement?.state === 'Approved' && agreement.offer.providerId === nodeId
    return isOurs ? rentals.adopt(agreement) : undefined
  }
  const onAgreementEvent = async (event: AgreementOperationEvent) => {
    const { agreementId } = event
    if (event.eventType === 'AgreementApprovedEvent') await findRental(agreementId)
    if (event.eventType !== 'AgreementTerminatedEvent') return
    rentals.ended(agreementId, event.terminator === 'Requestor' ? 'requestor' : 'provider')
  }
  const onActivityEvent = async ({ activityId, agreementId, eventType }: ProviderEvent) => {
    const rental = await findRental(agreementId)
    if ('DestroyActivity' in eventType) rental?.destroyActivity(activityId)
    else rental?.createActivity(activityId)
  }
  const goOn = async () => {
    const { running, since } = await findRunning(deps, signal)
    for (const { agreement, history } of running) {
      const { agreementId } = agreement
      logger.info('an agreement goes on', { agreementId, activities: history.activities.length })
      rentals.adopt(agreement, history)
    }
    const follow = { sessionId: SESSION_ID, since, signal }
    work.track('agreement events', followAgreements(deps, options, follow, onAgreementEvent))
    work.track('activity events', followActivities(deps, options, follow, onActivityEvent))
    work.track('bills of ended agreements', billEnded())
  }
  const billEnded = async () => {
    const unbilled = await untilDone(deps, 'look for unbilled agreements', { pauseMs: options.retryMs }, signal, () =>
      findUnbilled(deps, signal),
    )
    for (const { agreement, history } of unbilled) {
      logger.info('an ended agreement is billed', { agreementId: agreement.agreementId })
      rentals.adopt(agreement, history)
    }
  }
  const start = async () => {
    const config = readConfig(folder, machine)
    nodeId = (await client.root.getMe({ signal })).identity
    const accounts = await findAccounts(deps, options.paymentNetworks, config.globals.account ?? nodeId, signal)
    const runtimes = await deps.exeUnits.runtimes()
    if (runtimes.length === 0) {
      throw new ProviderError('nothing-to-sell', 'no runtime passes its self-test on this machine; the log says why')
    }
    await withdrawLeftOffers(deps)
    await goOn()
    const onApproved = (agreement: Agreement) => void rentals.adopt(agreement)
    shop = createShop(deps, options, { sessionId: SESSION_ID, runtimes, accounts, capacity, onApproved, signal })
    shop.arrange(config)
    stopWatching = watchConfig(folder, machine, logger, (changed) => shop?.arrange(changed))
  }
  const stop = async () => {
    stopWatching()
    const limit = new AbortController()
    const isLate = clock.sleep(STOP_LIMIT_MS, limit.signal).catch(() => {})
    const closed = shop?.close()
    // An approval under way may bring one more rental, which is ended in its turn.
    const ended = Promise.all([closed, rentals.shutDown()]).then(rentals.finished)
    await Promise.race([isLate, ended])
    limit.abort()
    await rentals.kill()
    life.abort(new Error('the provider has stopped'))
    await Promise.all([closed, rentals.finished(), work.settled()])
    if (shop) await withdrawLeftOffers(deps).catch(() => {})
  }
  return {
    start: () =>
      start().catch(async (error) => {
        life.abort(error)
        await Promise.all([shop?.close(), rentals.finished(), work.settled()])
        throw error
      }),
    stop,
    status: () => ({ nodeId, presets: shop?.presets() ?? [], rentals: rentals.list() }),
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
    { account, wanted },
  )
}
