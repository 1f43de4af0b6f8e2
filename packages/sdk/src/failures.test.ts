import { describe, expect, test } from 'vitest'
import { glm } from './index.ts'
import { budget, caught, echo, nothing, setUp, spec } from './testing/fixture.ts'
import { fakeProviderId } from './testing/index.ts'

describe('the error that is thrown', () => {
  test('is the fault of who gave a bad image: at once, and no other provider is asked', async () => {
    const { daemon, session, drive } = setUp({ name: 'a', prices: [0, 0, 0], deploys: 'bad-image' }, { name: 'b' })
    const error = await caught(drive(session.rent(spec, { budget })))
    expect(error).toMatchObject({ code: 'image.invalid', phase: 'deploy', blame: 'user', retryable: false })
    expect(error.summary).toBe('deploy failed: the image cannot be used')
    expect(error.facts).toMatchObject({ fault: 'bad-image' })
    expect(daemon.signed.has('b')).toBe(false)
    expect(daemon.open()).toEqual(nothing)
  })

  test('is the first failure when nobody is left to ask, long before the limit', async () => {
    const { daemon, session, drive } = setUp({ name: 'a', deploys: 'no' }, { name: 'b', answersProposals: 'no' })
    const error = await caught(drive(session.rent(spec, { budget, limits: { find: 30_000 } })))
    expect(error).toMatchObject({ code: 'deploy.failed', blame: 'provider', providerId: fakeProviderId('a') })
    expect(error.afterMs).toBeLessThan(5_000)
    expect(error.transcript.join('\n')).toMatch(/b rejected our proposal: too busy/)
    expect(error.transcript.at(-1)).toMatch(/no other provider: .* \(b: too busy\)/)
    expect(daemon.open()).toEqual(nothing)
  })

  test('has what all failures have cost, and says when they are alike', async () => {
    const bad = ['a', 'b'].map((name) => ({ name, prices: [0, 0, 0.5] as const, deploys: 'no' as const }))
    const { session, drive } = setUp(...bad)
    const error = await caught(drive(session.rent(spec, { budget })))
    expect(error.costSoFar).toBe(glm('1'))
    expect(error.hint).toMatch(/2 providers failed in the same way/)
  })

  test('names who did not want to, and waits for them until the limit', async () => {
    const { session, drive } = setUp({ name: 'a', answersProposals: 'no' })
    const error = await caught(drive(session.rent(spec, { budget, limits: { find: 8_000 } })))
    expect(error).toMatchObject({ code: 'market.no-agreement' })
    expect(error.summary).toBe('one provider would do, but none agreed within 8 s (a: too busy)')
    expect(error.afterMs).toBeGreaterThanOrEqual(8_000)
  })

  test('a provider that never answers does not keep the next ones from being asked', async () => {
    const silent = Array.from({ length: 5 }, (_, at) => ({
      name: `silent-${at}`,
      prices: [0, 0, 0] as const,
      answersProposals: 'never' as const,
    }))
    const { rent } = setUp(...silent, { name: 'good', programs: echo })
    expect((await rent()).providerName).toBe('good')
  })

  test('an unknown entry point is the fault of who named it', async () => {
    const { drive, rent } = setUp({ name: 'p', programs: echo })
    const rental = await rent()
    const error = await caught(drive(rental.run('nope', [], { anyExitCode: true })))
    expect(error).toMatchObject({ code: 'command.invalid', phase: 'run', blame: 'user', retryable: false })
    expect(error.summary).toBe('nope could not be run: Entrypoint nope not found')
  })
})
