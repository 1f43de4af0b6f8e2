import { readFileSync, statfsSync } from 'node:fs'
import { arch, availableParallelism, cpus, totalmem } from 'node:os'
import type { Machine } from '../hardware.ts'

const GIB = 2 ** 30
/** Node's names of architectures, as the network spells them. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' }

/** Reads what this machine has; free disk where `folder` is. */
export function readMachine(folder: string): Machine {
  const info = readCpuInfo()
  const disk = statfsSync(folder)
  const threads = availableParallelism()
  return {
    architecture: ARCHITECTURES[arch()] ?? arch(),
    cpuBrand: cpus()[0]?.model.trim() ?? 'unknown',
    cpuVendor: info('vendor_id') ?? 'unknown',
    cpuCores: Math.max(1, Math.min(threads, Number(info('cpu cores') ?? threads))),
    cpuThreads: threads,
    // In a container the limit of its control group counts.
    memGib: Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY) / GIB,
    freeStorageGib: (disk.bavail * disk.bsize) / GIB,
  }
}

function readCpuInfo(): (field: string) => string | undefined {
  let text = ''
  try {
    text = readFileSync('/proc/cpuinfo', 'utf8')
  } catch {
    // Not Linux: the operating system's own names serve.
  }
  return (field) => new RegExp(`^${field}\\s*:\\s*(.+)$`, 'm').exec(text)?.[1]?.trim()
}
