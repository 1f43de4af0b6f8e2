import { expect, it } from 'vitest'
import { createGate } from './gate.ts'

const never = new AbortController().signal
const turn = () => new Promise((resolve) => setImmediate(resolve))

it('lets in as many as there are places, the others in their order', async () => {
  const gate = createGate(2)
  const inside: string[] = []
  const come = async (name: string) => {
    const leave = await gate.enter(never)
    inside.push(name)
    return leave
  }
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(come)
  await turn()
  expect(inside).toEqual(['a', 'b'])
  const leaveA = await a!
  leaveA()
  leaveA()
  await turn()
  expect(inside, 'leaving twice frees one place').toEqual(['a', 'b', 'c'])
  ;(await c!)()
  await turn()
  expect(inside).toEqual(['a', 'b', 'c', 'd'])
  for (const leave of [await b!, await d!]) leave()
  await gate.enter(never)
})

it('who gives up takes no place', async () => {
  const gate = createGate(1)
  const leave = await gate.enter(never)
  const impatient = new AbortController()
  const waiting = gate.enter(impatient.signal)
  impatient.abort(new Error('stopped'))
  await expect(waiting).rejects.toThrow('stopped')
  await expect(gate.enter(impatient.signal)).rejects.toThrow('stopped')
  leave()
  await gate.enter(never)
})
