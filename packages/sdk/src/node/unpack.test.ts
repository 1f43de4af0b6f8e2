import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type Header, pack } from 'tar-stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { unpackTar } from './unpack.ts'

let root = ''
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'emet-unpack-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

function archive(...entries: [Partial<Header> & { name: string }, string?][]): Readable {
  const tar = pack()
  for (const [header, text = ''] of entries) tar.entry(header, text)
  tar.finalize()
  return Readable.from(tar)
}

describe('unpacking', () => {
  test('files and folders come out, links and devices do not', async () => {
    const given = archive(
      [{ name: 'a.txt' }, 'one'],
      [{ name: './deep/er/b.txt' }, 'two'],
      [{ name: 'empty', type: 'directory' }],
      [{ name: 'link', type: 'symlink', linkname: '/etc/passwd' }],
    )
    const target = join(root, 'out')
    expect(await unpackTar(given, target)).toBe(2)
    expect((await readdir(target)).sort()).toEqual(['a.txt', 'deep', 'empty'])
    expect(await readFile(join(target, 'deep/er/b.txt'), 'utf8')).toBe('two')
  })

  test.each(['../evil', 'a/../../evil', '/tmp/evil', 'a\\..\\evil'])('%j does not get out', async (name) => {
    const target = join(root, 'out')
    await expect(unpackTar(archive([{ name }, 'x']), target)).rejects.toMatchObject({
      code: 'transfer.failed',
      blame: 'provider',
    })
    expect(await readdir(root)).toEqual([])
  })

  test('too much, and what is no archive, is refused', async () => {
    await expect(unpackTar(archive([{ name: 'a' }, 'x'.repeat(100)]), root, 50)).rejects.toThrow('more than')
    await expect(unpackTar(Readable.from([Buffer.alloc(1024, 7)]), root)).rejects.toMatchObject({
      code: 'transfer.failed',
    })
  })
})
