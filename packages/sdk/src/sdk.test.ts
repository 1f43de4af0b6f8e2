import { formatAmount } from '@emet/core'
import { describe, expect, test } from 'vitest'
import { glm } from './index.ts'
import { budget, caught, echo, nothing, setUp, spec } from './testing/fixture.ts'
import { type FakeProvider, fakeProviderId } from './testing/index.ts'

describe('the whole life of a rental', () => {
  test('rents the cheapest, runs, moves files, pays, and leaves nothing', async () => {
    const dear = { name: 'dear', prices: [0.01, 0, 0] as const, programs: echo }
    const cheap = { name: 'cheap', prices: [0.001, 0.0005, 0.1] as const, programs: echo }
    const { clock, daemon, session, events, drive, rent } = setUp(dear, cheap)
    const rental = await rent()
    expect(rental.providerName).toBe('cheap')
    expect(daemon.open()).toMatchObject({ demands: 0, agreements: 1, activities: 1, allocations: 1 })

    const run = rental.run('main', ['hello', 'world'])
    const lines: string[] = []
    const reading = (async () => {
      for await (const line of run) lines.push(line)
    })()
    const { value } = await drive(run)
    await reading
    expect(lines).toEqual(['hello', 'world'])
    expect(value).toMatchObject({ exitCode: 0, stdout: 'hello\nworld\n', stderr: '' })
    expect(await new Response(run.stdout()).text()).toBe('hello\nworld\n')

    const bytes = new Uint8Array([4, 5, 6, 7])
    const progress: number[] = []
    await drive(rental.put(bytes, '/in/x', { onProgress: (done) => void progress.push(done) }))
    expect((await drive(rental.get('/in/x'))).value).toEqual(bytes)
    expect(progress).toEqual([4])

    await clock.advance(10_000)
    const { value: receipt, ms } = await drive(rental.close())
    expect(ms).toBeLessThan(2_000)
    expect(daemon.open()).toEqual(nothing)
    expect(receipt.accepted).toBe(daemon.accepted[0]?.amount)
    expect(receipt.accepted).toBeGreaterThan(glm('0.11'))
    expect(receipt).toMatchObject({ paid: 0n, pending: receipt.accepted, refused: [] })

    const settling = rental.settled()
    await clock.advance(2_000)
    daemon.pay()
    const { value: settled } = await drive(settling)
    expect(settled).toMatchObject({ paid: receipt.accepted, pending: 0n, transactions: [`0x${'cd'.repeat(32)}`] })
    expect([...new Set(events.map((event) => event.kind))].sort()).toEqual(
      ['agreement', 'command', 'image', 'offer', 'payment', 'transfer'].sort(),
    )
    await drive(session.close())
    expect(clock.pendingTimers).toBe(0)
  })

  test('quote shows prices, and spends and publishes nothing', async () => {
    const { daemon, session, drive } = setUp(
      { name: 'a', prices: [0.01, 0, 0] },
      { name: 'b', prices: [0.001, 0.001, 1] },
    )
    const { value } = await drive(session.quote(spec))
    expect(value.offers.map(({ name, perHour }) => [name, formatAmount(perHour)])).toEqual([
      ['b', '8.2'],
      ['a', '36'],
    ])
    expect((await drive(session.quote(spec, { perHour: '10' }))).value.offers).toHaveLength(1)
    expect(daemon.open()).toEqual(nothing)
  })

  test('adopts the negotiable values a provider insists on', async () => {
    const wants = { 'golem.com.scheme.payu.debit-note.interval-sec?': 30 }
    const { rent } = setUp({ name: 'stubborn', wants, programs: echo })
    expect((await rent()).providerName).toBe('stubborn')
  })
})

describe('another provider is tried', () => {
  test.each<[string, Partial<FakeProvider>]>([
    ['when it refuses to negotiate', { answersProposals: 'no' }],
    ['when it never answers', { answersProposals: 'never' }],
    ['when it does not sign', { signs: 'no' }],
    ['when it never signs', { signs: 'never' }],
    ['when it makes no activity', { createsActivity: 'no' }],
    ['when its activity never comes', { createsActivity: 'never' }],
    ['when it cannot deploy', { deploys: 'no' }],
    ['when it deploys forever', { deploys: 'never' }],
  ])('%s', async (_, behaviour) => {
    const { daemon, session, drive, rent } = setUp(
      { name: 'bad', prices: [0, 0, 0], ...behaviour },
      { name: 'good', programs: echo },
    )
    const rental = await rent({ limits: { deploy: 5_000, start: 5_000, negotiate: 5_000 } })
    expect(rental.providerName).toBe('good')
    await drive(session.close())
    expect(daemon.open()).toEqual(nothing)
  })

  test('until retries are used up; the error tells the story', async () => {
    const bad = ['a', 'b', 'c'].map((name) => ({ name, deploys: 'no' as const }))
    const { daemon, session, drive } = setUp(...bad)
    const error = await caught(drive(session.rent(spec, { budget, retries: 1 })))
    expect(error).toMatchObject({
      code: 'deploy.failed',
      phase: 'deploy',
      blame: 'provider',
      providerId: fakeProviderId('b'),
    })
    expect(error.transcript).toHaveLength(2)
    expect(error.transcript[0]).toContain('no space left on device')
    expect(daemon.open()).toEqual(nothing)
  })
})

describe('nothing suitable', () => {
  test('no offers at all', async () => {
    const { daemon, session, drive } = setUp()
    const error = await caught(drive(session.rent(spec, { budget, limits: { find: 3_000 } })))
    expect(error).toMatchObject({ code: 'market.no-offers', phase: 'find', blame: 'network', retryable: true })
    expect(error.afterMs).toBeLessThanOrEqual(3_020)
    expect(daemon.open()).toEqual(nothing)
  })

  test('all too dear', async () => {
    const { session, drive, daemon } = setUp({ name: 'dear', prices: [1, 0, 0] })
    const options = { budget: { max: '10', perHour: '1' }, limits: { find: 1_000 } }
    expect(await caught(drive(session.rent(spec, options)))).toMatchObject({ code: 'market.too-dear', blame: 'user' })
    expect(daemon.open()).toEqual(nothing)
    expect(daemon.signed.size).toBe(0)
  })

  test('a budget that pays for nothing is told without waiting for the limit', async () => {
    const { session, drive, daemon } = setUp({ name: 'p', prices: [0.001, 0, 0] })
    const error = await caught(drive(session.rent(spec, { budget: { max: '0.009' } })))
    expect(error).toMatchObject({ code: 'market.too-dear', blame: 'user' })
    expect(error.afterMs).toBeLessThan(6_000)
    expect(daemon.signed.size).toBe(0)
    const { value: rental } = await drive(session.rent(spec, { budget: { max: '0.01' } }))
    expect(rental.providerName).toBe('p')
  })

  test('a budget that is no amount', async () => {
    const { session, drive } = setUp()
    expect(await caught(drive(session.rent(spec, { budget: { max: 'much' } })))).toMatchObject({ code: 'spec.invalid' })
  })
})

describe('abort ends within 2 s and leaves nothing', () => {
  test.each<[string, Partial<FakeProvider>]>([
    ['while finding', { answersProposals: 'never' }],
    ['while signing', { signs: 'never' }],
    ['while the activity is made', { createsActivity: 'never' }],
    ['while deploying', { deploys: 'never' }],
    ['while deploying, without an invoice', { deploys: 'never', invoices: 'never' }],
  ])('%s', async (_, behaviour) => {
    const { clock, daemon, session, drive } = setUp({ name: 'p', ...behaviour })
    const abort = new AbortController()
    const renting = caught(session.rent(spec, { budget, signal: abort.signal }))
    await clock.advance(1_000)
    abort.abort(new Error('Ctrl-C'))
    const { value: error, ms } = await drive(renting)
    expect(error).toMatchObject({ name: 'GolemError', code: 'aborted', blame: 'user' })
    expect(ms).toBeLessThanOrEqual(2_020)
    expect(daemon.open()).toEqual(nothing)
  })

  test('while closing, without an invoice', async () => {
    const { clock, daemon, drive, rent } = setUp({ name: 'p', invoices: 'never', programs: echo })
    const abort = new AbortController()
    const rental = await rent({ signal: abort.signal })
    const closing = rental.close()
    await clock.advance(1_000)
    abort.abort(new Error('Ctrl-C'))
    expect((await drive(closing)).ms).toBeLessThanOrEqual(1_020)
    expect(daemon.open()).toEqual(nothing)
  })

  test('while running', async () => {
    const { clock, daemon, drive, rent } = setUp({ name: 'p', programs: echo })
    const abort = new AbortController()
    const rental = await rent({ signal: abort.signal })
    const running = caught(Promise.resolve(rental.run('slow')))
    await clock.advance(1_000)
    abort.abort(new Error('Ctrl-C'))
    const { value: error, ms } = await drive(running)
    expect(error).toMatchObject({ code: 'aborted' })
    expect(ms).toBeLessThanOrEqual(20)
    const closed = await drive(rental.close())
    expect(closed.ms).toBeLessThanOrEqual(2_000)
    expect(daemon.open()).toEqual(nothing)
    expect(closed.value.accepted).toBeGreaterThan(0n)
  })
})

describe('programs', () => {
  test('another exit code than 0 rejects, with what was said', async () => {
    const { drive, rent } = setUp({ name: 'p', programs: echo })
    const rental = await rent()
    const error = await caught(drive(rental.run('fail')))
    expect(error).toMatchObject({ code: 'command.failed', blame: 'user', facts: { exitCode: 3, stderr: 'it broke\n' } })
    expect(error.message).toContain('ended with code 3: it broke')
    expect((await drive(rental.run('fail').exitCode)).value).toBe(3)
    expect((await drive(rental.run('fail', [], { anyExitCode: true }))).value.exitCode).toBe(3)
  })

  test('a killed program ends at once, and the machine can be used again', async () => {
    const { clock, drive, rent } = setUp({ name: 'p', programs: echo })
    const rental = await rent()
    const run = rental.run('slow')
    const failing = caught(run.result)
    await clock.advance(500)
    run.kill()
    expect((await drive(failing)).value).toMatchObject({ code: 'command.killed', retryable: false })
    expect((await drive(rental.run('main', ['again']))).value.stdout).toBe('again\n')
  })

  test('a program over its time is stopped', async () => {
    const { drive, rent } = setUp({ name: 'p', programs: echo })
    const rental = await rent()
    const error = await caught(drive(rental.run('slow', [], { timeoutMs: 1_000 })))
    expect(error).toMatchObject({ code: 'command.slow' })
    expect(error.afterMs).toBeLessThan(1_100)
  })

  test('a missing file is the fault of who asked for it', async () => {
    const { drive, rent, daemon } = setUp({ name: 'p', programs: echo })
    const rental = await rent()
    const error = await caught(drive(rental.get('/missing')))
    expect(error).toMatchObject({ code: 'transfer.failed', phase: 'transfer', blame: 'user' })
    expect(daemon.open().files).toBe(1)
  })
})

describe('a machine that dies under its program', () => {
  test('ends the run at once, with the reason that the provider gives', async () => {
    const { clock, daemon, rent, drive } = setUp({ name: 'p', programs: echo })
    const rental = await rent()
    const running = caught(Promise.resolve(rental.run('slow')))
    await clock.advance(100)
    daemon.crash('p', 'the exe-unit was ended by SIGKILL')
    const { value: error, ms } = await drive(running)
    expect(error).toMatchObject({ code: 'activity.lost', blame: 'provider', retryable: true })
    expect(error.message).toContain('ended by SIGKILL')
    expect(ms).toBeLessThan(1_000)
    await drive(rental.close())
  })
})

describe('a provider that cannot be reached for a while', () => {
  test('is told of the end all the same', async () => {
    const { daemon, rent, drive } = setUp({ name: 'p', programs: echo })
    const rental = await rent()
    daemon.cutOffFor(3_000)
    const { value: receipt } = await drive(rental.close())
    expect(receipt.invoiceId).toBeDefined()
    expect(daemon.open()).toEqual(nothing)
  })
  test('gets its bill accepted all the same', async () => {
    const { daemon, rent, drive, clock } = setUp({ name: 'p', programs: echo })
    const rental = await rent()
    await clock.advance(1_000)
    daemon.terminateBy('p', 'Shutdown')
    daemon.cutOffFor(5_000)
    const { value: receipt } = await drive(rental.close())
    expect(receipt.refused).toEqual([])
    expect(receipt.accepted).toBeGreaterThan(0n)
    expect(daemon.rejected).toEqual([])
  })
})

describe('ends by itself', () => {
  test('when the provider terminates', async () => {
    const { clock, daemon, drive, rent } = setUp({ name: 'p', programs: echo })
    const rental = await rent()
    const running = caught(Promise.resolve(rental.run('slow')))
    await clock.advance(100)
    daemon.terminateBy('p', 'Shutdown')
    expect((await drive(running)).value).toMatchObject({
      code: 'agreement.terminated',
      blame: 'provider',
      retryable: true,
    })
    const { value: receipt } = await drive(rental.close())
    expect(receipt.invoiceId).toBeDefined()
    expect(daemon.open()).toEqual(nothing)
  })

  test('when it is idle for too long, but not while in use', async () => {
    const { clock, daemon, drive, rent } = setUp({ name: 'p', programs: echo })
    const rental = await rent({ limits: { idle: 5_000 } })
    await drive(rental.run('twenty'))
    await clock.advance(4_000)
    expect(rental.ended.aborted).toBe(false)
    await clock.advance(3_000)
    expect(rental.ended.reason).toMatchObject({ code: 'rental.idle' })
    expect(daemon.open()).toEqual(nothing)
  })

  test('before the budget is passed', async () => {
    const { daemon, drive, rent } = setUp({ name: 'p', prices: [0.1, 0, 0], programs: echo })
    const rental = await rent({ budget: { max: '2' } })
    const error = await caught(drive(rental.run('slow')))
    expect(error).toMatchObject({ code: 'budget.exhausted', blame: 'user' })
    const { value: receipt } = await drive(rental.close())
    expect(receipt.accepted).toBeLessThanOrEqual(glm('2'))
    expect(receipt.accepted).toBeGreaterThan(glm('1.5'))
    expect(daemon.open()).toEqual(nothing)
  })
})

describe('bills', () => {
  test('right debit notes are accepted as they come', async () => {
    const { daemon, drive, rent } = setUp({ name: 'p', debitNotesMs: 5_000, programs: echo })
    const rental = await rent()
    await drive(rental.run('twenty'))
    expect(daemon.accepted.filter(({ kind }) => kind === 'debit-note').length).toBeGreaterThanOrEqual(3)
    const { value: receipt } = await drive(rental.close())
    expect(receipt.accepted).toBe(daemon.accepted.at(-1)?.amount)
    expect(receipt.agreed).toBeLessThanOrEqual(receipt.accepted)
  })

  test('over-charging is refused, and told', async () => {
    const { daemon, events, drive, rent } = setUp({ name: 'p', charges: 3, debitNotesMs: 5_000, programs: echo })
    const rental = await rent()
    await drive(rental.run('twenty'))
    const { value: receipt } = await drive(rental.close())
    expect(daemon.accepted).toEqual([])
    expect(daemon.rejected[0]).toMatch(/it asks .* at most .* is possible/)
    expect(receipt.accepted).toBe(0n)
    expect(receipt.refused.length).toBeGreaterThanOrEqual(2)
    expect(events.some((event) => event.kind === 'payment' && event.phase === 'refused')).toBe(true)
    expect(daemon.open()).toEqual(nothing)
  })

  test('without an invoice, closing ends at its limit and warns', async () => {
    const { daemon, events, drive, rent } = setUp({ name: 'p', invoices: 'never', programs: echo })
    const rental = await rent({ limits: { finish: 3_000 } })
    const { ms } = await drive(rental.close())
    expect(ms).toBeLessThanOrEqual(3_020)
    expect(events.at(-1)).toMatchObject({ kind: 'payment', phase: 'released' })
    expect(events.some((event) => event.kind === 'warning')).toBe(true)
    expect(daemon.open()).toEqual(nothing)
  })
})

describe('map', () => {
  const collect = async <T>(source: AsyncIterable<T>) => {
    const all: T[] = []
    for await (const one of source) all.push(one)
    return all
  }
  const three = ['a', 'b', 'c'].map((name) => ({
    name,
    programs: { ...echo, main: ({ args }: { args: readonly string[] }) => ({ stdout: [`${args[0]}`], ms: 100 }) },
  }))

  test('spreads items over machines, each with another provider, in order when asked', async () => {
    const { daemon, session, drive } = setUp(...three)
    const items = Array.from({ length: 12 }, (_, at) => at)
    const work = session.map(
      items,
      async (item, machine) => Number((await machine.run('main', [`${item}`])).stdout) * 2,
      spec,
      {
        machines: 3,
        order: 'items',
        budget,
      },
    )
    const { value: results } = await drive(collect(work))
    expect(results.map(({ value }) => value)).toEqual(items.map((item) => item * 2))
    expect(new Set(results.map(({ providerId }) => providerId)).size).toBe(3)
    expect(work.rentals).toHaveLength(3)
    expect(work.rentals.every((rental) => rental.receipt().accepted > 0n)).toBe(true)
    expect(daemon.open()).toEqual(nothing)
  })

  test('an item that fails is tried on another provider', async () => {
    const { session, drive } = setUp(...three)
    const failedOn: string[] = []
    const task = async (
      item: number,
      machine: { providerName: string; run(program: string): PromiseLike<unknown> },
    ) => {
      await machine.run('main')
      if (item === 2 && failedOn.length === 0) {
        failedOn.push(machine.providerName)
        throw new Error('bad luck')
      }
      return machine.providerName
    }
    const { value: results } = await drive(collect(session.map([0, 1, 2, 3], task, spec, { machines: 2, budget })))
    const second = results.find(({ item }) => item === 2)
    expect(results).toHaveLength(4)
    expect(second?.attempts).toBe(2)
    expect(second?.value).not.toBe(failedOn[0])
  })

  test('an item that always fails ends the iteration, and everything', async () => {
    const { daemon, session, drive } = setUp(...three)
    const task = async () => {
      throw new Error('never')
    }
    const error = await caught(drive(collect(session.map([1], task, spec, { machines: 1, itemRetries: 1, budget }))))
    expect(error.message).toContain('item 0 failed 2 times, last: never')
    expect(daemon.open()).toEqual(nothing)
  })

  test('a machine that is lost is replaced', async () => {
    const { daemon, session, drive } = setUp(...three)
    let isTerminated = false
    const task = async (
      item: number,
      machine: { providerName: string; run(program: string, args: string[]): PromiseLike<{ stdout: string }> },
    ) => {
      if (item === 3 && !isTerminated) {
        isTerminated = true
        daemon.terminateBy(machine.providerName, 'Shutdown')
      }
      return (await machine.run('main', [`${item}`])).stdout
    }
    const { value: results } = await drive(collect(session.map([1, 2, 3, 4, 5], task, spec, { machines: 1, budget })))
    expect(results.map(({ value }) => value).sort()).toEqual(['1', '2', '3', '4', '5'])
    expect(new Set(results.map(({ providerId }) => providerId)).size).toBe(2)
    expect(daemon.open()).toEqual(nothing)
  })

  test('machines wait for a reader that does not read, and stopping early ends all', async () => {
    const { daemon, session, clock, drive } = setUp(...three)
    let taken = 0
    function* items() {
      for (;;) yield taken++
    }
    const task = async (_: number, machine: { run(program: string): PromiseLike<unknown> }) => machine.run('main')
    const iterator = session.map(items(), task, spec, { machines: 2, budget: { max: '100' } })[Symbol.asyncIterator]()
    await drive(iterator.next())
    await clock.advance(60_000)
    expect(taken).toBeLessThanOrEqual(10)
    await drive(iterator.return!())
    expect(daemon.open()).toEqual(nothing)
  })

  test('fewer machines than asked for will do', async () => {
    const { session, drive } = setUp(three[0]!)
    const task = async (item: number, machine: { run(program: string): PromiseLike<unknown> }) => {
      await machine.run('main')
      return item
    }
    const options = { machines: 3, budget, limits: { find: 2_000 } }
    const { value: results } = await drive(collect(session.map([1, 2, 3, 4], task, spec, options)))
    expect(results).toHaveLength(4)
  })
})
