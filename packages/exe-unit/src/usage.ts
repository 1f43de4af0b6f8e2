/**
 * Usage counters. Golem: `duration_sec` is wall time since the supervisor's start; `cpu_sec` the CPU time of its process
 * tree; `gib` the peak of the tree's resident memory; `storage_gib` the size of the work folder. Any other name is a
 * counter of the runtime, 0 until it says otherwise.
 */
import type { Clock } from '@emet/core'

const GIB = 2 ** 30

/** How often limits are checked while something may run. */
export const LIMITS_INTERVAL_MS = 250

/** What the operating system says about this process and its descendants. */
export type ProcessSample = {
  /** User and system time of all, ended ones included. */
  readonly cpuSec: number
  /** Resident memory of all. */
  readonly memoryBytes: number
  /** Resident memory of the descendants alone: what the guest costs. */
  readonly guestMemoryBytes: number
}

/** Port: the process tree and the work folder. */
export interface Meter {
  processes(): Promise<ProcessSample>
  /** Bytes below a folder; Infinity when it holds more entries than may be counted. */
  folderBytes(folder: string): Promise<number>
}

export type UsageOptions = {
  readonly vector: readonly string[]
  readonly workDir: string
  readonly memoryBytes?: number | undefined
  readonly storageBytes?: number | undefined
}

export interface Usage {
  /** Measures; returns why the activity must end, if it must. */
  measure(): Promise<string | undefined>
  /** The counters as last measured, in the order of the agreement. */
  vector(): number[]
}

export function createUsage(
  deps: { readonly clock: Clock; readonly meter: Meter; readonly counters: () => Readonly<Record<string, number>> },
  options: UsageOptions,
): Usage {
  const startedMs = deps.clock.monotonicMs()
  let cpuSec = 0
  let peakBytes = 0
  let storageBytes = 0

  const measure = async () => {
    const [sample, stored] = await Promise.all([deps.meter.processes(), deps.meter.folderBytes(options.workDir)])
    // Counters that are billed never go back.
    cpuSec = Math.max(cpuSec, sample.cpuSec)
    peakBytes = Math.max(peakBytes, sample.memoryBytes)
    if (Number.isFinite(stored)) storageBytes = stored
    return overLimit(sample.guestMemoryBytes, stored, options)
  }
  const value = (name: string): number => {
    switch (name) {
      case 'golem.usage.duration_sec':
        return (deps.clock.monotonicMs() - startedMs) / 1000
      case 'golem.usage.cpu_sec':
        return cpuSec
      case 'golem.usage.gib':
        return peakBytes / GIB
      case 'golem.usage.storage_gib':
        return storageBytes / GIB
      default:
        return deps.counters()[name] ?? 0
    }
  }
  return { measure, vector: () => options.vector.map(value) }
}

function overLimit(memory: number, storage: number, options: UsageOptions): string | undefined {
  const { memoryBytes = Infinity, storageBytes = Infinity } = options
  if (storage > storageBytes) return exceeded('golem.usage.storage_gib', storage, storageBytes)
  if (memory > memoryBytes) return exceeded('golem.usage.gib', memory, memoryBytes)
  return undefined
}

function exceeded(counter: string, used: number, limit: number): string {
  const usedText = Number.isFinite(used) ? `${(used / GIB).toFixed(3)} GiB` : 'too many files to count'
  return `Usage limit exceeded: ${counter}: ${usedText}, the agreement grants ${(limit / GIB).toFixed(3)} GiB`
}
