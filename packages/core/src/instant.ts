/**
 * Instants are whole microseconds since the Unix epoch, in a number (exact until the year 2255). Microseconds, because
 * events are told apart by them and a millisecond holds many events.
 */
export type InstantUs = number

const RFC3339 = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})?$/

/** RFC 3339 in UTC with six fractional digits, so that texts sort as instants do: `2026-11-23T08:15:00.000250Z`. */
export function formatInstant(instant: InstantUs): string {
  const ms = Math.floor(instant / 1000)
  const micros = instant - ms * 1000
  return `${new Date(ms).toISOString().slice(0, -1)}${String(micros).padStart(3, '0')}Z`
}

/** The same without the zone, as some messages between nodes want it: `2026-11-23T08:15:00.000250`. */
export function formatNaiveInstant(instant: InstantUs): string {
  return formatInstant(instant).slice(0, -1)
}

/** Parses RFC 3339 with any offset; a text without a zone is UTC. Digits below a microsecond are dropped. */
export function parseInstant(text: string): InstantUs | undefined {
  const match = RFC3339.exec(text)
  if (!match) return undefined
  const [, date, time, fraction = '', zone = 'Z'] = match
  const ms = Date.parse(`${date}T${time}${zone.toUpperCase()}`)
  return Number.isNaN(ms) ? undefined : ms * 1000 + Number(fraction.padEnd(6, '0').slice(0, 6))
}

export const fromMs = (ms: number): InstantUs => Math.round(ms * 1000)
export const toMs = (instant: InstantUs): number => instant / 1000
