import { z } from 'zod'

/** How much of the machine is lent out. The file form is the original provider's `hardware.json`. */
export const profileSchema = z.object({
  cpu_threads: z.number().int().min(1),
  mem_gib: z.number().min(0.1),
  storage_gib: z.number().min(0.1),
})
export type HardwareProfile = z.output<typeof profileSchema>

export const hardwareFileSchema = z
  .object({ active: z.string(), profiles: z.record(z.string(), profileSchema) })
  .refine(({ active, profiles }) => active in profiles, {
    path: ['active'],
    message: 'the active profile does not exist',
  })
export type HardwareFile = z.output<typeof hardwareFileSchema>

/** What the machine has. Read from the operating system by the composition root. */
export type Machine = {
  readonly architecture: string
  readonly cpuBrand: string
  readonly cpuVendor: string
  readonly cpuCores: number
  readonly cpuThreads: number
  readonly memGib: number
  readonly freeStorageGib: number
}

const LENT_MEMORY = 0.7
const LENT_STORAGE = 0.8

/** One thread stays with the owner, as do 30 % of memory and 20 % of the free disk. */
export function defaultProfile(machine: Machine): HardwareProfile {
  return {
    cpu_threads: Math.max(1, machine.cpuThreads - 1),
    mem_gib: Math.max(0.1, round(machine.memGib * LENT_MEMORY)),
    storage_gib: Math.max(0.1, round(machine.freeStorageGib * LENT_STORAGE)),
  }
}

/** A profile never offers more than the machine has. */
export function capProfile(profile: HardwareProfile, machine: Machine): HardwareProfile {
  return {
    cpu_threads: Math.min(profile.cpu_threads, machine.cpuThreads),
    mem_gib: Math.min(profile.mem_gib, round(machine.memGib)),
    storage_gib: Math.min(profile.storage_gib, round(machine.freeStorageGib)),
  }
}

const round = (gib: number): number => Math.floor(gib * 1000) / 1000
