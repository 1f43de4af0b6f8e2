import { ReplyError } from '@emet/bus'
import { describe, expect, it } from 'vitest'
import { codeOf, REQUESTOR, STRANGER, setUp, wait } from './testing.ts'

describe('batches', () => {
  const setUpExeUnit = async () => {
    const made = await setUp()
    const id = await made.create()
    const calls: unknown[] = []
    const at = (message: string) => `/public/exeunit/${id}/${message}`
    made.provider.bus.bind(at('Exec'), async ({ body, caller }) => {
      calls.push(body.value(), caller)
      return (body.value() as { batchId: string }).batchId
    })
    return { ...made, id, calls, at }
  }
  const run = JSON.stringify([{ deploy: {} }, { run: { entry_point: '/bin/sh', args: ['-c', 'ls'] } }])

  it('are checked here and sent to the exe-unit as the requestor', async () => {
    const { id, calls, requestor } = await setUpExeUnit()
    const batchId = await requestor.activities.requestor.exec(REQUESTOR, id, run, wait)
    expect(batchId).toMatch(/^[0-9a-f]{32}$/)
    expect(calls).toEqual([
      { activityId: id, batchId, exeScript: JSON.parse(run), timeout: 5 },
      { kind: 'peer', nodeId: REQUESTOR },
    ])
    for (const bad of ['', '{}', '[{"fly":{}}]', '[{"run":{}}]']) {
      expect(await codeOf(requestor.activities.requestor.exec(REQUESTOR, id, bad, wait))).toBe('bad-request')
    }
    expect(await codeOf(requestor.activities.requestor.exec(STRANGER, id, run, wait))).toBe('forbidden')
    expect(calls).toHaveLength(2)
  })
  it('have results, text or bytes', async () => {
    const { id, at, provider, requestor } = await setUpExeUnit()
    let asked: unknown
    const result = { index: 0, result: 'Ok', message: null, isBatchFinished: true, eventDate: '2026-11-23T01:02:03Z' }
    provider.bus.bind(at('GetExecBatchResults'), async ({ body }) => {
      asked = body.value()
      return [{ ...result, stdout: new Uint8Array([1, 2]), stderr: 'text' }]
    })
    const results = await requestor.activities.requestor.results(REQUESTOR, id, 'batch', {
      waitMs: 1_500,
      commandIndex: 0,
    })
    expect(asked).toEqual({ activityId: id, batchId: 'batch', timeout: 1.5, commandIndex: 0 })
    expect(results[0]).toMatchObject({
      index: 0,
      stdout: new Uint8Array([1, 2]),
      stderr: 'text',
      isBatchFinished: true,
    })
  })
  it.each([
    ['timeout', 'timeout'],
    [{ notFound: 'no such batch' }, 'not-found'],
    [{ badRequest: 'no' }, 'bad-request'],
    [{ usageLimitExceeded: 'no' }, 'service'],
    [{ service: 'no' }, 'service'],
  ])('fail with %j as %s', async (data, code) => {
    const { id, at, provider, requestor } = await setUpExeUnit()
    provider.bus.bind(at('GetExecBatchResults'), async () => {
      throw new ReplyError(data)
    })
    expect(await codeOf(requestor.activities.requestor.results(REQUESTOR, id, 'batch', {}))).toBe(code)
  })

  const event = (index: number) => ({
    batch_id: 'b',
    index: 0,
    timestamp: `2026-11-23T01:02:03.${String(index).padStart(6, '0')}`,
    kind: { stdout: `line ${index}` },
  })
  const lines = async (events: AsyncIterable<{ kind: object }>, max: number) => {
    const seen: unknown[] = []
    for await (const { kind } of events) {
      seen.push((kind as { stdout: string }).stdout)
      if (seen.length === max) break
    }
    return seen
  }
  it('stream their events, and take up a replayed stream where it broke', async () => {
    const { clock, id, at, provider, requestor } = await setUpExeUnit()
    let opened = 0
    provider.bus.bind(at('StreamExecBatchResults'), async function* ({ body }) {
      expect(body.value()).toEqual({ activity_id: id, batch_id: 'b' })
      opened++
      for (let index = 0; index < 6; index++) {
        // The first time, the connection breaks after three.
        if (opened === 1 && index === 3) throw new Error('gone')
        yield event(index)
      }
    })
    const reading = lines(requestor.activities.requestor.events(REQUESTOR, id, 'b', {}), 9)
    await clock.advance(2_000)
    // A failure inside the exe-unit arrives as a bus failure: the way was broken.
    expect(await reading).toEqual(['line 0', 'line 1', 'line 2', 'line 3', 'line 4', 'line 5'])
    expect(opened).toBe(2)
  })
  it('go on with what is new when the exe-unit does not replay', async () => {
    const { clock, id, at, provider, requestor } = await setUpExeUnit()
    let next = 0
    provider.bus.bind(at('StreamExecBatchResults'), async function* () {
      for (let count = 0; count < 2 && next < 6; count++) yield event(next++)
      if (next < 6) throw new Error('gone')
    })
    const reading = lines(requestor.activities.requestor.events(REQUESTOR, id, 'b', {}), 9)
    await clock.advance(5_000)
    expect(await reading).toEqual(['line 0', 'line 1', 'line 2', 'line 3', 'line 4', 'line 5'])
  })
  it('give up a stream that breaks again and again, and one whose activity has ended', async () => {
    const { clock, id, at, provider, requestor, report } = await setUpExeUnit()
    let opened = 0
    provider.bus.bind(at('StreamExecBatchResults'), async function* () {
      opened++
      yield event(0)
      throw new Error('gone')
    })
    const broken = codeOf(lines(requestor.activities.requestor.events(REQUESTOR, id, 'b', {}), 9))
    await clock.advance(30_000)
    expect(await broken).toBe('bus')
    expect(opened).toBe(11)
    await report(id, ['Terminated', null])
    await requestor.activities.requestor.destroy(REQUESTOR, id, wait)
    expect(await codeOf(lines(requestor.activities.requestor.events(REQUESTOR, id, 'b', {}), 9))).toBe('bus')
    expect(opened).toBe(12)
  })
  it('end with the failure that the exe-unit means', async () => {
    const { id, at, provider, requestor } = await setUpExeUnit()
    provider.bus.bind(at('StreamExecBatchResults'), () => {
      throw new ReplyError({ notFound: 'no such batch' })
    })
    expect(await codeOf(lines(requestor.activities.requestor.events(REQUESTOR, id, 'b', {}), 1))).toBe('not-found')
  })
  it('show the running command', async () => {
    const { id, at, provider, requestor } = await setUpExeUnit()
    provider.bus.bind(at('GetRunningCommand'), async () => [{ command: 'Run', progress: null, params: ['ls'] }])
    const running = await requestor.activities.requestor.runningCommand(REQUESTOR, id, wait)
    expect(running).toMatchObject([{ command: 'Run', params: ['ls'] }])
  })
})
