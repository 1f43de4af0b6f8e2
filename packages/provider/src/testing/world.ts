import { type Logger, silentLogger } from '@emet/core'
import { createVirtualClock } from '@emet/core/testing'
import { createProviderAgent } from '../agent.ts'
import type { ProviderOptions } from '../options.ts'
import type { ProviderAgent } from '../types.ts'
import { createFakeDaemon, type FakeDaemon } from './daemon.ts'
import { createFakeExeUnits } from './exe-units.ts'
import { createFakeFolder } from './folder.ts'
import { TEST_MACHINE } from './machine.ts'

/** One preset: 0.5 GLM to start, 0.001 GLM for a second, 0.002 GLM for a second of a processor. */
export const TEST_PRESETS = {
  ver: 'V1',
  active: ['wasm'],
  presets: [
    {
      name: 'wasm',
      'exeunit-name': 'wasmtime',
      'initial-price': 0.5,
      'usage-coeffs': { 'golem.usage.duration_sec': 0.001, 'golem.usage.cpu_sec': 0.002 },
    },
  ],
}

export type World = ReturnType<typeof createWorld>

/** An agent's surroundings under a virtual clock, and agents in them. */
export function createWorld(logger: Logger = silentLogger) {
  const clock = createVirtualClock()
  const daemon = createFakeDaemon(clock)
  const exeUnits = createFakeExeUnits(daemon)
  const folder = createFakeFolder({ 'presets.json': TEST_PRESETS })
  const deps = { client: daemon.client, clock, exeUnits, folder, machine: TEST_MACHINE, logger }
  const agents: ProviderAgent[] = []
  const startAgent = async (options: ProviderOptions = {}): Promise<ProviderAgent> => {
    const agent = createProviderAgent(deps, options)
    agents.push(agent)
    await agent.start()
    await clock.advance(0)
    return agent
  }
  const stopAll = async () => {
    const stopped = Promise.all(agents.map((agent) => agent.stop()))
    await clock.advance(20_000)
    await stopped
  }
  return { clock, daemon, exeUnits, folder, startAgent, stopAll }
}

/** As far as an approved agreement. */
export async function approve({ clock, daemon }: World, demand: Record<string, unknown> = {}): Promise<string> {
  daemon.propose(demand)
  await clock.advance(10)
  const agreementId = daemon.proposeAgreement(demand)
  await clock.advance(10)
  const state = daemon.agreements.get(agreementId)?.state
  if (state !== 'Approved') throw new Error(`the agreement is ${state}`)
  return agreementId
}

/** As far as a running activity. */
export async function rent(world: World, demand: Record<string, unknown> = {}) {
  const agreementId = await approve(world, demand)
  const activityId = world.daemon.createActivity(agreementId)
  await world.clock.advance(10)
  const unit = world.exeUnits.running.get(activityId)
  if (!unit) throw new Error('the activity does not run')
  return { agreementId, activityId, unit }
}

/** What the provider gave as the reason of its last termination. */
export const terminationOf = ({ calls }: FakeDaemon): unknown =>
  calls.filter(({ name }) => name === 'terminateAgreement').at(-1)?.body

export const countOf = ({ calls }: FakeDaemon, name: string): number =>
  calls.filter((call) => call.name === name).length
