import { describe, expect, test } from 'vitest'
import { markFault, REQUESTOR_FAULTS, readFault } from './faults.ts'

describe('faults of the requestor', () => {
  test.each(REQUESTOR_FAULTS)('%s survives as text', (fault) => {
    expect(readFault(markFault(fault, 'the [image] is: bad'))).toEqual({ fault, text: 'the [image] is: bad' })
  })

  test.each([undefined, 'limit', 'failed', 'nonsense'])('%s is none, and is not marked', (code) => {
    expect(markFault(code, 'no space left')).toBe('no space left')
  })

  test.each(['', 'no mark', '[limit] not one', 'later [bad-image] mark', '[bad-image]'])(
    '%j is read as it is',
    (text) => {
      expect(readFault(text)).toEqual({ fault: undefined, text })
    },
  )
})
