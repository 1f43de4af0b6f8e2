import fc from 'fast-check'
import { expect, test } from 'vitest'
import { deadlineOf, isOver, moveTask, type TaskMove, type TaskState } from './agreement-task.ts'
import { ProviderError } from './errors.ts'

const activity = fc.constantFrom('a', 'b')
const moves: fc.Arbitrary<TaskMove> = fc.oneof(
  fc.record({ kind: fc.constant('activity-created' as const), activityId: activity }),
  fc.record({ kind: fc.constant('activity-ended' as const), activityId: activity, atMs: fc.nat() }),
  fc.record({ kind: fc.constant('close' as const), by: fc.constantFrom('requestor' as const, 'provider' as const) }),
  fc.record({ kind: fc.constant('break' as const), code: fc.constant('Expired' as const), message: fc.string() }),
)

const attempt = (state: TaskState, move: TaskMove): TaskState | 'refused' => {
  try {
    return moveTask(state, move)
  } catch (error) {
    expect(error).toBeInstanceOf(ProviderError)
    expect(error).toMatchObject({ code: 'illegal-move' })
    return 'refused'
  }
}

test('an end is final, one activity runs at a time, and only its own end ends it', () => {
  fc.assert(
    fc.property(fc.array(moves, { maxLength: 30 }), (sequence) => {
      let state: TaskState = { kind: 'idle', sinceMs: 0 }
      for (const move of sequence) {
        const next = attempt(state, move)
        if (isOver(state)) expect(next).toBe('refused')
        else if (move.kind === 'close' || move.kind === 'break') expect(isOver(next as TaskState)).toBe(true)
        else if (move.kind === 'activity-created') expect(next === 'refused').toBe(state.kind === 'computing')
        else expect(next === 'refused').toBe(state.kind !== 'computing' || state.activityId !== move.activityId)
        if (next !== 'refused') state = next
      }
    }),
  )
})

test('patience with an idle agreement ends no later than the agreement', () => {
  const idle: TaskState = { kind: 'idle', sinceMs: 1_000 }
  expect(deadlineOf(idle, 100_000, 90)).toMatchObject({ atMs: 91_000, code: 'NoActivity' })
  expect(deadlineOf(idle, 50_000, 90)).toMatchObject({ atMs: 50_000, code: 'Expired' })
  expect(deadlineOf({ kind: 'computing', activityId: 'a' }, 50_000, 1)).toMatchObject({ code: 'Expired' })
  expect(deadlineOf({ kind: 'closed', by: 'requestor' }, 50_000, 1)).toBeUndefined()
})
