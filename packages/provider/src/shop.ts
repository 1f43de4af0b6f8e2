import type { Agreement } from '@emet/core'
import type { Capacity } from './capacity.ts'
import type { ProviderConfig } from './config.ts'
import { ProviderError } from './errors.ts'
import { capProfile } from './hardware.ts'
import { buildOffer } from './offer.ts'
import type { ParsedProviderOptions } from './options.ts'
import type { Preset } from './preset.ts'
import { type OfferBody, sell } from './sales.ts'
import type { ProviderDeps, SoldRuntime } from './types.ts'

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
  let config: ProviderConfig

  const display = (preset: Preset, offer: () => OfferBody, face: string): Display => {
    const end = new AbortController()
    const signal = AbortSignal.any([input.signal, end.signal])
    const { sessionId, capacity, onApproved } = input
    const sales = { preset: preset.name, offer, rules: () => config.rules, sessionId, capacity, onApproved }
    const done = sell(deps, options, sales, signal).catch((error) => {
      if (!signal.aborted) logger.error('an offer is no longer sold', { preset: preset.name, error })
    })
    return { face, stop: () => end.abort(), done }
  }
  const arrange = (next: ProviderConfig) => {
    config = next
    const before = displays
    displays = new Map()
    for (const [preset, runtime] of sellable(deps, next, input.runtimes)) {
      const offer = () => offerOf(deps, options, input, next, preset, runtime)
      // The constraints hold the time of publication: only the properties tell whether something has changed.
      const face = JSON.stringify(offer().properties)
      const current = before.get(preset.name)
      displays.set(preset.name, current?.face === face ? current : display(preset, offer, face))
    }
    for (const [name, old] of before) if (displays.get(name) !== old) old.stop()
  }
  return {
    arrange,
    presets: () => [...displays.keys()],
    close: async () => {
      const all = [...displays.values()]
      for (const { stop } of all) stop()
      await Promise.all(all.map(({ done }) => done))
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
      if (runtime) return [[preset, runtime]]
      logger.warn('a preset names a runtime that this machine cannot sell', { preset: preset.name })
      return []
    })
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
