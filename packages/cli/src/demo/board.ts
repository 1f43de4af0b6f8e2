/** What every provider is doing, on one line. Pure: events in, text out. */
import type { SdkEvent } from '@emet/sdk'

export type Board = {
  /** Takes note of an event. */
  note(event: SdkEvent): void
  /** A bar over all tiles, and each provider's present work. */
  line(done: number, all: number): string
}

const BAR_LENGTH = 12

/** `names` by node id. */
export function createBoard(names: Readonly<Record<string, string>>): Board {
  const doing = new Map<string, string>()
  let general = 'asking the market'
  return {
    note: (event) => {
      const words = wordsFor(event)
      const name = names[event.providerId ?? '']
      if (words && name) doing.set(name, words)
      else if (words) general = words
    },
    line: (done, all) => {
      const filled = all === 0 ? 0 : Math.round((done / all) * BAR_LENGTH)
      const bar = '#'.repeat(filled) + '-'.repeat(BAR_LENGTH - filled)
      const each = [...doing].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, words]) => `${name} ${words}`)
      return [`[${bar}] ${done}/${all}`, ...(each.length > 0 ? each : [general])].join(' | ')
    },
  }
}

/** What an event means to somebody who watches; undefined for what is too small to show. */
function wordsFor(event: SdkEvent): string | undefined {
  switch (event.kind) {
    case 'offer':
      return event.phase === 'search' ? 'asking the market' : 'negotiates'
    case 'agreement':
      return event.phase === 'signed' ? 'has signed' : event.phase === 'ended' ? 'is done' : 'is signing'
    case 'image':
      return event.phase === 'ready' ? 'is ready' : event.phase === 'publish' ? undefined : 'gets the program'
    case 'transfer':
      return event.direction === 'put' ? 'gets the scene' : 'sends a tile'
    case 'command':
      return event.phase === 'begin' ? 'renders' : undefined
    case 'payment':
      return event.phase === 'invoice' ? 'sends its invoice' : event.phase === 'settled' ? 'is paid' : undefined
    case 'warning':
      return `warns: ${event.message}`
  }
}
