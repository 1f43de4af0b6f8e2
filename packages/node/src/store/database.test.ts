import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openDatabase, StoreError } from './index.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'emet-store-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const TABLE = 'CREATE TABLE t (id INTEGER PRIMARY KEY, amount INTEGER) STRICT'
const memory = () => {
  const db = openDatabase({ path: ':memory:' })
  db.migrate('m', [TABLE])
  return db
}

test('a failing transaction leaves nothing, a nested one only undoes itself', () => {
  const db = memory()
  expect(() =>
    db.transaction(() => {
      db.run('INSERT INTO t VALUES (1, 1)')
      throw new Error('no')
    }),
  ).toThrow('no')
  db.transaction(() => {
    db.run('INSERT INTO t VALUES (2, 2)')
    expect(() =>
      db.transaction(() => {
        db.run('INSERT INTO t VALUES (3, 3)')
        throw new Error('inner')
      }),
    ).toThrow('inner')
  })
  expect(db.all('SELECT id FROM t')).toEqual([{ id: 2 }])
  db.transaction(() => db.run('INSERT INTO t VALUES (4, 4)'))
  expect(db.all('SELECT id FROM t')).toHaveLength(2)
})

test('an asynchronous transaction is refused and rolled back', () => {
  const db = memory()
  expect(() => db.transaction(async () => db.run('INSERT INTO t VALUES (1, 1)'))).toThrow(TypeError)
  expect(db.all('SELECT * FROM t')).toEqual([])
})

test('integers beyond 2^53 come back exactly', () => {
  const db = memory()
  db.run('INSERT INTO t VALUES (1, ?)', 2n ** 60n + 1n)
  expect(db.get('SELECT amount FROM t')).toEqual({ amount: 2n ** 60n + 1n })
})

test('migrations are applied once, in order, and a newer file is refused', () => {
  const path = join(folder, 'a.db')
  const first = openDatabase({ path })
  first.migrate('m', [TABLE])
  first.close()
  const second = openDatabase({ path })
  second.migrate('m', [TABLE, 'ALTER TABLE t ADD COLUMN note TEXT'])
  second.run("INSERT INTO t VALUES (1, 2, 'x')")
  second.close()
  const third = openDatabase({ path })
  expect(() => third.migrate('m', [TABLE])).toThrow(expect.objectContaining({ code: 'newer-schema' }))
  third.close()
})

test('a second opening of the same file is told that it is locked', () => {
  const path = join(folder, 'a.db')
  const first = openDatabase({ path })
  first.migrate('m', [TABLE])
  expect(() => openDatabase({ path, lockWaitMs: 0 })).toThrow(expect.objectContaining({ code: 'locked' }))
  first.close()
})

test('a file that is no database is told so', () => {
  const path = join(folder, 'a.db')
  writeFileSync(path, 'not a database, and long enough to be read as the header of one '.repeat(20))
  expect(() => openDatabase({ path })).toThrow(StoreError)
  expect(() => openDatabase({ path })).toThrow(expect.objectContaining({ code: 'corrupt' }))
})

test('what was committed is there after reopening without a close', () => {
  const path = join(folder, 'a.db')
  const first = openDatabase({ path })
  first.migrate('m', [TABLE])
  first.transaction(() => first.run('INSERT INTO t VALUES (1, 1)'))
  first.close()
  const second = openDatabase({ path })
  expect(second.get('SELECT count(*) AS n FROM t')).toEqual({ n: 1 })
  second.close()
})
