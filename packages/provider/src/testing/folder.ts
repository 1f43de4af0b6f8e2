import type { ConfigFolder } from '../config.ts'

/** A configuration folder in memory. `edit` writes a file and tells the watcher, as an editor would. */
export function createFakeFolder(files: Record<string, unknown> = {}): ConfigFolder & {
  edit(name: string, text: string): void
  readonly files: Map<string, string>
  readonly watchers: number
} {
  const texts = new Map(Object.entries(files).map(([name, value]) => [name, JSON.stringify(value)]))
  const listeners = new Set<() => void>()
  return {
    files: texts,
    get watchers() {
      return listeners.size
    },
    read: (name) => texts.get(name),
    write: (name, text) => void texts.set(name, text),
    watch: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    edit: (name, text) => {
      texts.set(name, text)
      for (const listener of listeners) listener()
    },
  }
}
