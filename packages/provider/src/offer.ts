import type { HardwareProfile, Machine } from './hardware.ts'
import {
  ACCEPT_TIMEOUT,
  COEFFICIENTS,
  DEBIT_NOTE_INTERVAL,
  PAYMENT_TIMEOUT,
  platformAddress,
} from './negotiation/components.ts'
import type { NegotiationOptions } from './negotiation/options.ts'
import type { FlatProperties } from './negotiation/types.ts'
import { coefficients, type Preset, usageVector } from './preset.ts'

/** What an exe-unit says of itself and of its runtime (`offer-template`). */
export type OfferTemplate = { readonly properties: FlatProperties; readonly constraints: string }

export type OfferInput = {
  readonly preset: Preset
  readonly template: OfferTemplate
  readonly runtime: { readonly name: string; readonly version: string }
  readonly machine: Machine
  readonly profile: HardwareProfile
  readonly nodeName: string
  readonly subnet: string
  /** Where we are paid: platform to address. */
  readonly accounts: Readonly<Record<string, string>>
  readonly isPublic: boolean
  readonly nowMs: number
  readonly terms: NegotiationOptions
}

/** The usage counters that a runtime measures. */
export function measuredCounters({ properties }: OfferTemplate): readonly string[] {
  const vector = properties['golem.com.usage.vector']
  return Array.isArray(vector) ? vector.filter((counter) => typeof counter === 'string') : []
}

/** The body of `POST /offers`. (Golem: property names of the standard; protocol version 3 = we can be paid from deposits.) */
export function buildOffer(input: OfferInput): { properties: FlatProperties; constraints: string } {
  const { preset, template, runtime, machine, profile, terms } = input
  const vector = usageVector(preset, measuredCounters(template))
  const accounts = Object.entries(input.accounts).map(([platform, address]) => [platformAddress(platform), address])
  const properties = {
    'golem.inf.cpu.architecture': machine.architecture,
    'golem.inf.cpu.brand': machine.cpuBrand,
    'golem.inf.cpu.vendor': machine.cpuVendor,
    'golem.inf.cpu.cores': machine.cpuCores,
    ...template.properties,
    'golem.runtime.name': runtime.name,
    'golem.runtime.version': runtime.version,
    'golem.inf.cpu.threads': profile.cpu_threads,
    'golem.inf.mem.gib': profile.mem_gib,
    'golem.inf.storage.gib': profile.storage_gib,
    'golem.node.id.name': input.nodeName,
    'golem.node.debug.subnet': input.subnet,
    'golem.node.net.is-public': input.isPublic,
    'golem.srv.caps.multi-activity': true,
    'golem.com.scheme': 'payu',
    [DEBIT_NOTE_INTERVAL]: terms.debitNoteIntervalSec,
    [PAYMENT_TIMEOUT]: terms.paymentTimeoutSec,
    [ACCEPT_TIMEOUT]: terms.acceptTimeoutSec,
    'golem.com.pricing.model': 'linear',
    [COEFFICIENTS]: coefficients(preset, vector),
    'golem.com.usage.vector': vector,
    'golem.com.payment.protocol.version': 3,
    ...Object.fromEntries(accounts),
  }
  const own = `(golem.srv.comp.expiration>${input.nowMs})(golem.node.debug.subnet=${input.subnet})`
  const theirs = template.constraints.trim()
  return { properties, constraints: `(&${own}${theirs === '' || theirs === '()' ? '' : theirs})` }
}
