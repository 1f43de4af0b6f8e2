/** Every process of a rental dies once, in the middle of it, and the rental goes on: real processes, killed with SIGKILL. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTrial, type Trial, until } from './trial.ts'

let trial: Trial
beforeAll(async () => {
  trial = await startTrial(2)
}, 60_000)
afterAll(async () => {
  await trial?.stop()
  expect(trial.processes()).toEqual([])
}, 30_000)

test('a provider’s daemon dies while a program runs: the exe-unit survives it and the rental goes on', {
  timeout: 60_000,
}, async () => {
  const daemon = trial.process('provider-1')
  const agent = trial.process('provider-1-agent').pid
  const busy = await trial.rentBusy(0)
  const { activityId, agreementId } = busy.rental
  await daemon.kill()
  await daemon.restart()

  const { client } = trial.provider(0)
  await until('the exe-unit has attached again', async () => {
    const { state } = await client.activity.getState({ params: { activityId }, query: {} })
    return state[0] === 'Ready'
  })
  expect(await busy.finish()).toContain('the end')
  expect(trial.processes(`service-bus ${activityId} `)).toEqual([expect.stringMatching(`^${busy.exeUnit} `)])
  expect(trial.process('provider-1-agent').pid).toBe(agent)
  const notes = await trial.requestor.payment.listDebitNotes({ query: {} })
  const receipt = await busy.settle()
  expect(receipt).toMatchObject({ agreementId, refused: [] })
  expect(receipt.accepted).toBeGreaterThan(0n)
  expect(notes.every((note) => note.totalAmountDue <= receipt.accepted)).toBe(true)
})
