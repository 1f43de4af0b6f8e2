import type { Agreement } from '@emet/core'
import type { Capacity } from './capacity.ts'
import type { ProviderConfig } from './config.ts'
import { ProviderError } from './errors.ts'
import { capProfile } from './hardware.ts'
import { buildOffer, measuredCounters } from './offer.ts'
import type { ParsedProviderOptions } from './options.ts'
import { type Preset, usageVector } from './preset.ts'
import { type OfferBody, sell } from './sales.ts'
import type { ProviderDeps, SoldRuntime } from './types.ts'
import { createWork } from './work.ts'

export type ShopInput = {
  readonly sessionId: string
  readonly runtimes: readonly SoldRuntime[]
  /** Where we are paid: platform to address. */
  readonly accounts: Readonly<Record<string, string>>
  readonly capacity: Capacity
  readonly onApproved: (agreement: Agreement) => void
  readonly signal: AbortSignal
}

/** The offers on display. */
export interface Shop {
  /** Publishes what the configuration says: what has changed is withdrawn and published anew, the rest stays. */
  arrange(config: ProviderConfig): void
  /** Withdraws all offers. */
  close(): Promise<void>
  presets(): string[]
}

type Display = { readonly face: string; readonly stop: () => void; readonly done: Promise<void> }

export function createShop(deps: ProviderDeps, options: ParsedProviderOptions, input: ShopInput): Shop {
  const { logger } = deps
  let displays = new Map<string, Display>()
  /** Offers that are no longer on display, but not yet gone. */
  const withdrawn = createWork(logger, input.signal)
  let config: ProviderConfig

  const display = (preset: Preset, offer: () => OfferBody, face: string): Display => {
    const end = new AbortController()
    const signal = AbortSignal.any([input.signal, end.signal])
    const { sessionId, capacity, onApproved, signal: life } = input
    const sales = { preset: preset.name, offer, rules: () => config.rules, sessionId, capacity, onApproved, life }
    const done = sell(deps, options, sales, signal).catch((error) => {
      if (!signal.aborted) logger.error('an offer is no longer sold', { preset: preset.name, error })
    })
    return { face, stop: () => end.abort(), done }
  }
  const arrange = (next: ProviderConfig) => {
    const wanted = sellable(deps, next, input.runtimes).map(([preset, runtime]) => {
      const offer = () => offerOf(deps, options, input, next, preset, runtime)
      // The constraints hold the time of publication: only the properties tell whether something has changed.
      return { preset, offer, face: JSON.stringify(offer().properties) }
    })
    config = next
    const before = displays
    displays = new Map()
    for (const { preset, offer, face } of wanted) {
      const current = before.get(preset.name)
      displays.set(preset.name, current?.face === face ? current : display(preset, offer, face))
    }
    for (const [name, old] of before) {
      if (displays.get(name) === old) continue
      old.stop()
      withdrawn.track('withdrawal of an offer', old.done)
    }
  }
  return {
    arrange,
    presets: () => [...displays.keys()],
    close: async () => {
      const all = [...displays.values()]
      displays = new Map()
      for (const { stop } of all) stop()
      await Promise.all([...all.map(({ done }) => done), withdrawn.settled()])
    },
  }
}

function sellable(
  { logger }: ProviderDeps,
  { presets }: ProviderConfig,
  runtimes: readonly SoldRuntime[],
): [Preset, SoldRuntime][] {
  return presets.presets
    .filter(({ name }) => presets.active.includes(name))
    .flatMap((preset): [Preset, SoldRuntime][] => {
      const runtime = runtimes.find(({ name }) => name === preset['exeunit-name'])
      const reason = runtime ? unpriced(preset, runtime) : `this machine has no runtime "${preset['exeunit-name']}"`
      if (runtime && !reason) return [[preset, runtime]]
      logger.warn('a preset cannot be sold', { preset: preset.name, reason })
      return []
    })
}

/** A preset that prices nothing which the runtime measures would rent out the machine for the initial price alone. */
function unpriced(preset: Preset, { template }: SoldRuntime): string | undefined {
  const counters = measuredCounters(template)
  if (usageVector(preset, counters).length > 0) return undefined
  return `usage-coeffs price none of the counters of its runtime: ${counters.join(', ') || '(none)'}`
}

function offerOf(
  { machine, clock }: ProviderDeps,
  options: ParsedProviderOptions,
  { accounts }: ShopInput,
  { hardware, globals }: ProviderConfig,
  preset: Preset,
  runtime: SoldRuntime,
): OfferBody {
  const profile = hardware.profiles[hardware.active]
  if (!profile) throw new ProviderError('bad-config', `hardware.json: no profile "${hardware.active}"`)
  return buildOffer({
    preset,
    runtime,
    template: runtime.template,
    machine,
    profile: capProfile(profile, machine),
    nodeName: options.nodeName ?? globals.node_name ?? 'emet-provider',
    subnet: options.subnet ?? globals.subnet ?? 'public',
    accounts,
    isPublic: options.isPublic ?? false,
    nowMs: clock.nowMs(),
    terms: options.negotiation,
  })
}
