import type { Client } from '@emet/api'
import { describe, expect, it } from 'vitest'
import { type GftpDeps, serveGftpRequests } from './gftp.ts'

/** A daemon that remembers what it was asked for. */
function setUp() {
  const asked: unknown[][] = []
  const note = (...what: unknown[]) => void asked.push(what)
  const published = (url: string) => ({ url, sha3: 'h', sizeBytes: 1 })
  const files = {
    publish: async ({ body }: { body: { path: string } }) => {
      note('publish', body.path)
      if (body.path.endsWith('missing')) throw new Error('there is no file')
      return published(`gftp://me/${body.path.length}`)
    },
    close: async ({ query }: { query: { url: string } }) => {
      note('close', query.url)
      if (query.url === 'gftp://unknown') throw new Error('not found')
    },
    receive: async ({ body }: { body: { path: string } }) => {
      note('receive', body.path)
      return { url: 'gftp://me/receive' }
    },
    download: async ({ body }: { body: object }) => {
      note('download', body)
      return published('x')
    },
    upload: async ({ body }: { body: object }) => {
      note('upload', body)
      return published('x')
    },
  } as unknown as Client['emet']['files']
  const answers: { id: unknown; result?: unknown; error?: { code: number } }[] = []
  const deps: GftpDeps = { files, folder: '/home/me', write: (line) => answers.push(JSON.parse(line)) }
  const serve = async (...requests: (string | object)[]) => {
    async function* lines() {
      for (const request of requests) yield typeof request === 'string' ? request : JSON.stringify(request)
    }
    await serveGftpRequests(deps, lines(), new AbortController().signal)
    return answers
  }
  return { asked, serve }
}
const request = (id: unknown, method: string, params: unknown = {}) => ({ jsonrpc: '2.0', id, method, params })

describe('the gftp command', () => {
  it('says a version', async () => {
    const [answer] = await setUp().serve(request(1, 'version'))
    expect(answer).toEqual({ jsonrpc: '2.0', id: 1, result: expect.stringMatching(/^\d+\.\d+\.\d+/) })
  })
  it('publishes files, as named by the client, and closes them', async () => {
    const { asked, serve } = setUp()
    const answers = await serve(
      request('a', 'publish', { files: ['one', '/tmp/two'] }),
      request('b', 'close', { urls: ['gftp://me/12', 'gftp://unknown'] }),
    )
    expect(answers[0]).toMatchObject({
      id: 'a',
      result: [
        { file: 'one', url: 'gftp://me/12' },
        { file: '/tmp/two', url: 'gftp://me/8' },
      ],
    })
    expect(answers[1]).toMatchObject({ id: 'b', result: ['ok', 'error'] })
    expect(asked.slice(0, 2)).toEqual([
      ['publish', '/home/me/one'],
      ['publish', '/tmp/two'],
    ])
    // At its end it closes what is left.
    expect(asked.at(-1)).toEqual(['close', 'gftp://me/8'])
  })
  it('receives, downloads and uploads', async () => {
    const { asked, serve } = setUp()
    const answers = await serve(
      request(1, 'receive', { output_file: 'in' }),
      request(2, 'download', { url: 'gftp://x', output_file: 'out' }),
      request(3, 'upload', { url: 'gftp://y', file: '/f' }),
    )
    expect(answers.map(({ result }) => result)).toEqual([
      { file: 'in', url: 'gftp://me/receive' },
      { file: 'out', url: 'gftp://x' },
      { file: '/f', url: 'gftp://y' },
    ])
    expect(asked).toEqual([
      ['receive', '/home/me/in'],
      ['download', { url: 'gftp://x', path: '/home/me/out' }],
      ['upload', { url: 'gftp://y', path: '/f' }],
      ['close', 'gftp://me/receive'],
    ])
  })
  it('ends at shutdown', async () => {
    const answers = await setUp().serve(request(1, 'shutdown'), request(2, 'version'))
    expect(answers).toEqual([{ jsonrpc: '2.0', id: 1, result: 'ok' }])
  })
  it.each([
    ['{', -32_700],
    ['[]', -32_600],
    [{ id: 1, method: 'version' }, -32_600],
    [request(1, 'fly'), -32_601],
    [request(1, 'constructor'), -32_601],
    [request(1, 'publish', { files: 'one' }), -32_602],
    [request(1, 'publish', { files: ['missing'] }), -32_000],
  ])('answers %j with %i', async (bad, code) => {
    const answers = await setUp().serve(bad, '', request(2, 'version'))
    expect(answers[0]).toMatchObject({ error: { code, message: expect.any(String) } })
    expect(answers[1]).toMatchObject({ id: 2, result: expect.any(String) })
  })
  it('answers no notification', async () => {
    expect(await setUp().serve({ jsonrpc: '2.0', method: 'version' })).toEqual([])
  })
})
