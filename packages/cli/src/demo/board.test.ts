import type { SdkEvent } from '@emet/sdk'
import { expect, test } from 'vitest'
import { createBoard } from './board.ts'

const event = (fields: object) => ({ timeMs: 0, ...fields }) as SdkEvent

test('the line tells what each provider does, in order of their names', () => {
  const board = createBoard({ '0x2': 'provider-2', '0x1': 'provider-1' })
  expect(board.line(0, 4)).toBe('[------------] 0/4 | asking the market')
  board.note(event({ kind: 'agreement', phase: 'proposed', agreementId: 'a', providerId: '0x2' }))
  board.note(event({ kind: 'command', phase: 'begin', command: 'main', providerId: '0x1' }))
  expect(board.line(2, 4)).toBe('[######------] 2/4 | provider-1 renders | provider-2 is signing')
  board.note(event({ kind: 'command', phase: 'end', command: 'main', providerId: '0x1' }))
  expect(board.line(4, 4)).toContain('[############] 4/4 | provider-1 renders')
})

test('what belongs to no provider is shown until there are providers', () => {
  const board = createBoard({})
  board.note(event({ kind: 'warning', message: 'slow' }))
  expect(board.line(0, 1)).toContain('warns: slow')
})
