import { describe, expect, it } from 'vitest'
import { type ActivityMoment, begin, beginEnd, finish, INITIALIZED, NEW, TERMINATED } from './state.ts'

const after = (moment: ActivityMoment, ...commands: ('deploy' | 'start' | 'run')[]) =>
  commands.reduce((now, command) => finish(begin(now, command), command, true), moment)
const deployed = after(INITIALIZED, 'deploy')
const ready = after(INITIALIZED, 'deploy', 'start')

describe('the states of an activity', () => {
  it('lead from deploy over start to ready, with the target pending meanwhile', () => {
    expect(begin(INITIALIZED, 'deploy').pair).toEqual(['Initialized', 'Deployed'])
    expect(deployed.pair).toEqual(['Deployed', null])
    expect(begin(deployed, 'start').pair).toEqual(['Deployed', 'Ready'])
    expect(ready.pair).toEqual(['Ready', null])
    expect(begin(ready, 'transfer').pair).toEqual(['Ready', 'Ready'])
  })

  it('refuse every illegal move', () => {
    const illegal: [ActivityMoment, 'deploy' | 'start' | 'run' | 'transfer'][] = [
      [NEW, 'deploy'],
      [NEW, 'run'],
      [INITIALIZED, 'start'],
      [INITIALIZED, 'run'],
      [INITIALIZED, 'transfer'],
      [deployed, 'deploy'],
      [deployed, 'run'],
      [deployed, 'transfer'],
      [ready, 'deploy'],
      [ready, 'start'],
      [TERMINATED, 'run'],
      [beginEnd(ready), 'run'],
    ]
    for (const [moment, command] of illegal) {
      expect(() => begin(moment, command), `${moment.pair[0]} ${command}`).toThrow(
        expect.objectContaining({ code: 'bad-state' }),
      )
    }
    expect(() => begin(begin(INITIALIZED, 'deploy'), 'deploy')).toThrow(expect.objectContaining({ code: 'busy' }))
    expect(() => finish(ready, 'run', true)).toThrow('was not begun')
  })

  it('stay where they were after a failure', () => {
    expect(finish(begin(INITIALIZED, 'deploy'), 'deploy', false)).toEqual(INITIALIZED)
    expect(finish(begin(deployed, 'start'), 'start', false)).toEqual(deployed)
  })

  it('count commands side by side: pending until the last has ended', () => {
    const two = begin(begin(ready, 'run'), 'transfer')
    expect(two).toEqual({ pair: ['Ready', 'Ready'], underWay: 2 })
    expect(finish(two, 'run', false)).toEqual({ pair: ['Ready', 'Ready'], underWay: 1 })
    expect(finish(finish(two, 'run', false), 'transfer', true)).toEqual(ready)
  })

  it('begin anew after terminate, and end for good', () => {
    expect(finish(begin(ready, 'terminate'), 'terminate', true)).toEqual(INITIALIZED)
    expect(finish(INITIALIZED, 'run', false)).toEqual(INITIALIZED)
    const ending = beginEnd(begin(ready, 'run'))
    expect(ending.pair).toEqual(['Ready', 'Terminated'])
    expect(finish(ending, 'run', true)).toBe(ending)
    expect(beginEnd(TERMINATED)).toBe(TERMINATED)
  })
})
