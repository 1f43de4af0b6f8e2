/** How commands print: a table or fields for people, JSON for programs (`--json`). */

export type Output = {
  readonly isJson: boolean
  /** Writes a line to standard output. */
  line(text: string): void
  /** A list of records. Columns are the keys of the first one, or those named. */
  table(rows: readonly Record<string, unknown>[], columns?: readonly string[]): void
  /** One record. */
  record(value: Record<string, unknown>): void
  /** The answer of a command that changes something: `text` for people, `value` for programs. */
  done(text: string, value?: unknown): void
}

export function createOutput(write: (text: string) => void, isJson: boolean): Output {
  const line = (text: string) => write(`${text}\n`)
  const json = (value: unknown) => line(JSON.stringify(value, printable, 2))
  return {
    isJson,
    line,
    table: (rows, columns) => (isJson ? json(rows) : line(formatTable(rows, columns))),
    record: (value) => (isJson ? json(value) : line(formatRecord(value))),
    done: (text, value = null) => (isJson ? json(value) : line(text)),
  }
}

/** Amounts are printed as integers in the smallest unit. */
export const printable = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString() : value

export function formatTable(
  rows: readonly Record<string, unknown>[],
  columns: readonly string[] = Object.keys(rows[0] ?? {}),
): string {
  if (rows.length === 0) return '(none)'
  const cells = rows.map((row) => columns.map((column) => cell(row[column])))
  const widths = columns.map((column, at) => Math.max(column.length, ...cells.map((row) => row[at]?.length ?? 0)))
  const isNumber = columns.map((_, at) => cells.every((row) => /^-?[\d.]*$/.test(row[at] ?? '')))
  const join = (row: readonly string[]) =>
    row
      .map((text, at) => (isNumber[at] ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd()
  return [join(columns), join(widths.map((width) => '-'.repeat(width))), ...cells.map(join)].join('\n')
}

function formatRecord(value: Record<string, unknown>): string {
  const entries = Object.entries(value)
  const width = Math.max(0, ...entries.map(([name]) => name.length))
  return entries.map(([name, field]) => `${name.padEnd(width)}  ${cell(field)}`).join('\n')
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(' ')
  return typeof value === 'object' ? JSON.stringify(value, printable) : String(value)
}

/** JSON on one line, with amounts as integers however large they are (which JSON allows, and `JSON.parse` rounds). */
export function jsonWithIntegers(value: unknown): string {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }
  return JSON.stringify(value, (_key, field) => (typeof field === 'bigint' ? rawJSON(field.toString()) : field))
}
