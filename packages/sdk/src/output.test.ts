import { expect, test } from 'vitest'
import { createOutputLog, linesOf, toStream } from './output.ts'

const encode = (text: string) => new TextEncoder().encode(text)
async function* chunks(...texts: (string | Uint8Array)[]) {
  for (const text of texts) yield typeof text === 'string' ? encode(text) : text
}
const collect = async <T>(source: AsyncIterable<T>) => {
  const all: T[] = []
  for await (const one of source) all.push(one)
  return all
}

test('lines are whole however the bytes are cut, even within a character', async () => {
  const euro = encode('a€\r\nb')
  expect(await collect(linesOf(chunks(euro.subarray(0, 2), euro.subarray(2), 'c\n\nlast')))).toEqual([
    'a€',
    'bc',
    '',
    'last',
  ])
  expect(await collect(linesOf(chunks('one\n')))).toEqual(['one'])
  expect(await collect(linesOf(chunks()))).toEqual([])
})

test('each reader gets everything, also one that comes late', async () => {
  const log = createOutputLog()
  const early = collect(log.read('stdout'))
  log.push('stdout', 'a')
  log.push('stderr', 'x')
  log.push('stdout', encode('b'))
  log.end()
  log.push('stdout', 'after the end')
  expect(new TextDecoder().decode(await new Blob((await early) as Uint8Array<ArrayBuffer>[]).bytes())).toBe('ab')
  expect(await new Response(toStream(log.read('stdout')) as ReadableStream<Uint8Array<ArrayBuffer>>).text()).toBe('ab')
  expect(log.text('stderr')).toBe('x')
})

test('what the live stream has missed is made up from the result', () => {
  const log = createOutputLog()
  log.push('stdout', 'beg')
  log.complete('stdout', encode('begin'))
  log.complete('stdout', encode('begin'))
  expect(log.text('stdout')).toBe('begin')
})

test('an error comes after the output', async () => {
  const log = createOutputLog()
  log.push('stdout', 'a')
  log.end(new Error('lost'))
  const reader = log.read('stdout')
  expect((await reader.next()).value).toEqual(encode('a'))
  await expect(reader.next()).rejects.toThrow('lost')
})
