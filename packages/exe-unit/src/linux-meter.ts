/** Measures the process tree from /proc, and folders by walking them. */
import { execFileSync } from 'node:child_process'
import { lstat, opendir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Meter, ProcessSample } from './usage.ts'

/** Entries of a work folder; a guest that makes more is over its storage limit. */
export const FOLDER_ENTRIES_MAX = 200_000

type Stat = { readonly pid: number; readonly parent: number; readonly ticks: number; readonly pages: number }

/** A meter of `rootPid` and its descendants. */
export function createLinuxMeter(rootPid: number): Meter {
  const ticksPerSec = configured('CLK_TCK', 100)
  const pageBytes = configured('PAGESIZE', 4096)

  const processes = async (): Promise<ProcessSample> => {
    const tree = treeOf(await allStats(), rootPid)
    // A process's own time includes that of children it has waited for, so live processes account for ended ones.
    const ticks = tree.reduce((sum, stat) => sum + stat.ticks, 0)
    const bytes = (stats: readonly Stat[]) => stats.reduce((sum, stat) => sum + stat.pages * pageBytes, 0)
    return {
      cpuSec: ticks / ticksPerSec,
      memoryBytes: bytes(tree),
      guestMemoryBytes: bytes(tree.filter(({ pid }) => pid !== rootPid)),
    }
  }
  return { processes, folderBytes }
}

async function allStats(): Promise<Stat[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const stats = await Promise.all(pids.map(statOf))
  return stats.filter((stat) => stat !== undefined)
}

/** Linux: `/proc/<pid>/stat`; the program's name in parentheses may hold anything, so fields count from the last one. */
async function statOf(pid: string): Promise<Stat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number) => Number(fields[number - 3] ?? 0)
  const ticks = field(14) + field(15) + field(16) + field(17)
  return { pid: Number(pid), parent: field(4), ticks, pages: field(24) }
}

function treeOf(stats: readonly Stat[], rootPid: number): Stat[] {
  const children = Map.groupBy(stats, ({ parent }) => parent)
  const tree = stats.filter(({ pid }) => pid === rootPid)
  for (const stat of tree) tree.push(...(children.get(stat.pid) ?? []))
  return tree
}

async function folderBytes(folder: string): Promise<number> {
  let bytes = 0
  let entries = 0
  const pending = [folder]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const listing = await opendir(next).catch(() => undefined)
    if (!listing) continue
    for await (const entry of listing) {
      if (++entries > FOLDER_ENTRIES_MAX) return Infinity
      const path = join(next, entry.name)
      if (entry.isDirectory()) pending.push(path)
      // Blocks, not length: a sparse file costs what it holds.
      else
        bytes += await lstat(path).then(
          (it) => it.blocks * 512,
          () => 0,
        )
    }
  }
  return bytes
}

function configured(name: string, usual: number): number {
  try {
    return Number(execFileSync('getconf', [name], { encoding: 'utf8' })) || usual
  } catch {
    return usual
  }
}
