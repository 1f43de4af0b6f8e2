import { type DemandOfferBase, joinConstraints, type MarketDecoration } from '@emet/core'
import type { PreparedPayload } from './payload.ts'
import type { RentSpec } from './types.ts'

/** Golem wire: how often debit notes come, and how long we may take to accept one, in seconds. */
export const DEBIT_NOTE_INTERVAL_SECONDS = 60
export const DEBIT_NOTE_ACCEPT_SECONDS = 120

/** Golem wire: rentals longer than this must agree to pay while they run. */
const MID_PAYMENT_AFTER_MS = 10 * 3_600_000
const MID_PAYMENT_SECONDS = 43_200

export type DemandInput = {
  readonly spec: RentSpec
  readonly payload: PreparedPayload
  readonly decoration: MarketDecoration
  readonly platform: string
  readonly subnet: string
  readonly expiresMs: number
  readonly durationMs: number
}

/** What is posted as the demand, and again in every counter-proposal. */
export function buildDemand(input: DemandInput): DemandOfferBase {
  const { spec, payload, decoration, platform, subnet, expiresMs, durationMs } = input
  const properties = {
    'golem.node.debug.subnet': subnet,
    'golem.srv.comp.expiration': expiresMs,
    'golem.srv.caps.multi-activity': true,
    'golem.com.payment.chosen-platform': platform,
    'golem.com.scheme.payu.debit-note.interval-sec?': DEBIT_NOTE_INTERVAL_SECONDS,
    'golem.com.payment.debit-notes.accept-timeout?': DEBIT_NOTE_ACCEPT_SECONDS,
    ...(durationMs >= MID_PAYMENT_AFTER_MS
      ? { 'golem.com.scheme.payu.payment-timeout-sec?': MID_PAYMENT_SECONDS }
      : {}),
    ...(payload.taskPackage === undefined ? {} : { 'golem.srv.comp.task_package': payload.taskPackage }),
    ...Object.fromEntries(decoration.properties.map(({ key, value }) => [key, value])),
    ...spec.properties,
  }
  const constraints = [...offerConstraints(spec, payload.runtime, subnet), ...decoration.constraints]
  return { properties, constraints: joinConstraints('&', constraints) }
}

/** The conditions on offers, without those of payment. */
export function offerConstraints(spec: RentSpec, runtime: string, subnet: string): string[] {
  const atLeast = (name: string, value: number | undefined) => (value === undefined ? [] : [`(${name}>=${value})`])
  return [
    '(golem.com.pricing.model=linear)',
    `(golem.node.debug.subnet=${subnet})`,
    `(golem.runtime.name=${runtime})`,
    ...atLeast('golem.inf.cpu.threads', spec.threads),
    ...atLeast('golem.inf.mem.gib', spec.memoryGib),
    ...atLeast('golem.inf.storage.gib', spec.storageGib),
    ...(spec.constraints ?? []),
  ]
}
