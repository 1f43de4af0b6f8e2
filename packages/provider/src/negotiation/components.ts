import type { Rules } from '../rules.ts'
import type { NegotiationOptions } from './options.ts'
import { type NegotiatorComponent, READY, rejectFinally, rejectForNow } from './types.ts'

export const CHOSEN_PLATFORM = 'golem.com.payment.chosen-platform'
export const EXPIRATION = 'golem.srv.comp.expiration'
export const ACCEPT_TIMEOUT = 'golem.com.payment.debit-notes.accept-timeout?'
export const DEBIT_NOTE_INTERVAL = 'golem.com.scheme.payu.debit-note.interval-sec?'
export const PAYMENT_TIMEOUT = 'golem.com.scheme.payu.payment-timeout-sec?'
export const COEFFICIENTS = 'golem.com.pricing.model.linear.coeffs'

export const platformAddress = (platform: string): string => `golem.com.payment.platform.${platform}.address`

/** The requestor must name the platform it pays on, and it must be one of ours. */
export const paymentPlatform: NegotiatorComponent = ({ demand, offer }) => {
  const platform = demand[CHOSEN_PLATFORM]
  if (platform === undefined) return rejectForNow(`Missing fields: /${CHOSEN_PLATFORM.replaceAll('.', '/')}`)
  if (typeof platform === 'string' && offer[platformAddress(platform)] !== undefined) return READY
  return rejectFinally(`We are not paid on platform ${JSON.stringify(platform)}.`)
}

export const blacklist =
  (rules: () => Rules): NegotiatorComponent =>
  ({ requestorId }) => {
    const { enabled, identity } = rules().blacklist
    return enabled && identity.includes(requestorId) ? rejectFinally(`Requestor ${requestorId} is blacklisted.`) : READY
  }

export const allowOnly =
  (rules: () => Rules): NegotiatorComponent =>
  ({ requestorId }) => {
    const { enabled, identity } = rules()['allow-only']
    return enabled && !identity.includes(requestorId)
      ? rejectFinally(`Requestor ${requestorId} is not on the allow list.`)
      : READY
  }

export const limitAgreements =
  ({ maxSimultaneousAgreements }: NegotiationOptions): NegotiatorComponent =>
  ({ activeAgreements }) =>
    activeAgreements < maxSimultaneousAgreements
      ? READY
      : rejectForNow(`No capacity available. Reached Agreements limit: ${maxSimultaneousAgreements}`)

export const limitExpiration =
  (options: NegotiationOptions): NegotiatorComponent =>
  ({ demand, nowMs }) => {
    const expirationMs = demand[EXPIRATION]
    if (typeof expirationMs !== 'number') return rejectFinally(`The demand has no ${EXPIRATION}.`)
    const leftSec = (expirationMs - nowMs) / 1000
    if (leftSec < options.minExpirationSec) {
      return rejectFinally(
        `Demand expires too soon: in ${Math.floor(leftSec)} s, at least ${options.minExpirationSec} s.`,
      )
    }
    const promises = demand[ACCEPT_TIMEOUT] !== undefined
    const maxSec = promises ? options.maxExpirationSec : options.maxExpirationWithoutDeadlineSec
    return leftSec <= maxSec
      ? READY
      : rejectForNow(`Demand expires too late: in ${Math.floor(leftSec)} s, at most ${maxSec} s.`)
  }

/** Our patience for unaccepted debit notes may be shortened, never lengthened. */
export const acceptTimeout =
  (options: NegotiationOptions): NegotiatorComponent =>
  ({ demand, offer }) => {
    const theirs = demand[ACCEPT_TIMEOUT]
    if (theirs === offer[ACCEPT_TIMEOUT]) return READY
    if (theirs === undefined) return { kind: 'negotiating', change: { [ACCEPT_TIMEOUT]: undefined } }
    if (typeof theirs !== 'number') return rejectFinally(`${ACCEPT_TIMEOUT} is not a number.`)
    if (theirs > options.acceptTimeoutSec) {
      return rejectFinally(
        `DebitNote acceptance timeout of ${theirs} s is longer than our ${options.acceptTimeoutSec} s.`,
      )
    }
    if (theirs < 5) return rejectFinally(`DebitNote acceptance timeout of ${theirs} s is too short, at least 5 s.`)
    return { kind: 'negotiating', change: { [ACCEPT_TIMEOUT]: theirs } }
  }

const adopt = (property: string, minSec: number, maxSec: number, what: string): NegotiatorComponent => {
  return ({ demand, offer }) => {
    const theirs = demand[property]
    if (theirs === offer[property]) return READY
    if (theirs === undefined) return { kind: 'negotiating', change: { [property]: undefined } }
    if (typeof theirs !== 'number' || theirs < minSec || theirs > maxSec) {
      return rejectFinally(`${what} of ${JSON.stringify(theirs)} s is outside ${minSec}..${maxSec} s.`)
    }
    return { kind: 'negotiating', change: { [property]: theirs } }
  }
}

export const debitNoteInterval = (options: NegotiationOptions): NegotiatorComponent =>
  adopt(DEBIT_NOTE_INTERVAL, options.minDebitNoteIntervalSec, options.maxDebitNoteIntervalSec, 'DebitNote interval')

/** Long rentals must pay on the way. */
export const paymentTimeout = (options: NegotiationOptions): NegotiatorComponent => {
  const adoptTimeout = adopt(
    PAYMENT_TIMEOUT,
    options.minPaymentTimeoutSec,
    options.maxPaymentTimeoutSec,
    'Payment timeout',
  )
  return (input) => {
    const leftSec = (Number(input.demand[EXPIRATION]) - input.nowMs) / 1000
    if (input.demand[PAYMENT_TIMEOUT] === undefined && leftSec >= options.paymentRequiredDurationSec) {
      return rejectFinally(`Rentals longer than ${options.paymentRequiredDurationSec} s must pay while they run.`)
    }
    return adoptTimeout(input)
  }
}

/** The highest price that is agreed to, in GLM per unit: beyond it, amounts no longer fit a bill, and nothing is paid. */
const PRICE_MAX = 1_000_000

/** The requestor may pay more than we ask. */
export const price: NegotiatorComponent = ({ demand, offer }) => {
  const theirs = demand[COEFFICIENTS]
  const ours = offer[COEFFICIENTS]
  if (theirs === undefined || !Array.isArray(ours)) return READY
  if (!Array.isArray(theirs) || theirs.length !== ours.length || !theirs.every(Number.isFinite)) {
    return rejectForNow('Pricing coefficients do not fit our usage vector.')
  }
  if (theirs.every((coefficient, at) => coefficient === ours[at])) return READY
  if (theirs.some((coefficient) => coefficient > PRICE_MAX)) return rejectFinally(`A price is above ${PRICE_MAX} GLM.`)
  return theirs.every((coefficient, at) => coefficient >= ours[at])
    ? { kind: 'negotiating', change: { [COEFFICIENTS]: theirs } }
    : rejectFinally('Offered price is below ours.')
}
