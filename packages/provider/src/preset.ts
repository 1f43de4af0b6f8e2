import { z } from 'zod'

/**
 * What is sold, and for how much: a runtime with prices. The price of a usage counter is in GLM per unit of the counter
 * (per second for `golem.usage.duration_sec` and `golem.usage.cpu_sec`), the initial price in GLM per activity.
 * The file form is the original provider's `presets.json`, version `V1`.
 */
export const presetSchema = z.object({
  name: z.string().min(1).max(100),
  'exeunit-name': z.string().min(1).max(100),
  'pricing-model': z.literal('linear').default('linear'),
  'initial-price': z.number().min(0),
  'usage-coeffs': z.record(z.string(), z.number().min(0)),
})
export type Preset = z.output<typeof presetSchema>

export const presetsFileSchema = z
  .object({ ver: z.literal('V1'), active: z.array(z.string()), presets: z.array(presetSchema) })
  .superRefine(({ active, presets }, context) => {
    const names = presets.map(({ name }) => name)
    for (const name of active) {
      if (!names.includes(name))
        context.addIssue({ code: 'custom', path: ['active'], message: `no preset named "${name}"` })
    }
    const twice = names.find((name, at) => names.indexOf(name) !== at)
    if (twice !== undefined)
      context.addIssue({ code: 'custom', path: ['presets'], message: `two presets named "${twice}"` })
  })
export type PresetsFile = z.output<typeof presetsFileSchema>

/** A node that has never been configured sells WASM at the price of a small cloud machine's core, 0.1 GLM an hour. */
export const DEFAULT_PRESETS: PresetsFile = {
  ver: 'V1',
  active: ['wasm'],
  presets: [
    {
      name: 'wasm',
      'exeunit-name': 'wasmtime',
      'pricing-model': 'linear',
      'initial-price': 0,
      'usage-coeffs': { 'golem.usage.cpu_sec': 0.00002, 'golem.usage.duration_sec': 0.00001 },
    },
  ],
}

/** The usage vector in the order of the offer: counters by name, as the original sorts them. */
export function usageVector(preset: Preset, supported: readonly string[]): string[] {
  return Object.keys(preset['usage-coeffs'])
    .filter((counter) => supported.includes(counter))
    .sort()
}

/** Coefficients in the order of `usageVector`, and the initial price last. */
export function coefficients(preset: Preset, vector: readonly string[]): number[] {
  return [...vector.map((counter) => preset['usage-coeffs'][counter] ?? 0), preset['initial-price']]
}
