/** Reading SQLite rows: each function takes one column, and throws when the database holds something else. */
import { type NodeId, nodeId, type Role } from '@emet/core'
import type { Row } from '../store/index.ts'
import type { Bytes } from './records.ts'

export function text(row: Row, column: string): string {
  const value = row[column]
  if (typeof value !== 'string') throw new TypeError(`column ${column} holds no text`)
  return value
}

export function maybeText(row: Row, column: string): string | undefined {
  return row[column] === null || row[column] === undefined ? undefined : text(row, column)
}

export function integer(row: Row, column: string): number {
  const value = row[column]
  if (typeof value !== 'number') throw new TypeError(`column ${column} holds no integer`)
  return value
}

export function maybeInteger(row: Row, column: string): number | undefined {
  return row[column] === null || row[column] === undefined ? undefined : integer(row, column)
}

export const wei = (row: Row, column: string): bigint => BigInt(text(row, column))
export const node = (row: Row, column: string): NodeId => nodeId(text(row, column))
export const role = (row: Row): Role => (text(row, 'role') === 'provider' ? 'provider' : 'requestor')

export function blob(row: Row, column: string): Bytes {
  const value = row[column]
  if (!(value instanceof Uint8Array)) throw new TypeError(`column ${column} holds no bytes`)
  return Uint8Array.from(value)
}

export function maybeBlob(row: Row, column: string): Bytes | undefined {
  return row[column] === null || row[column] === undefined ? undefined : blob(row, column)
}

export function json(row: Row, column: string): unknown {
  const value = maybeText(row, column)
  return value === undefined ? undefined : JSON.parse(value)
}

export const toJson = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value))

/** SQLite's LIMIT: negative is none. */
export const limitOf = (max: number | undefined): number => max ?? -1
