import type { ExeUnits, LaunchRequest, RunningUnit, UnitExit } from '../types.ts'
import type { FakeDaemon } from './daemon.ts'

/** One exe-unit of `createFakeExeUnits`, in the hands of the test. */
export type FakeUnit = {
  readonly request: Pick<LaunchRequest, 'activityId' | 'agreementId'>
  /** It ends by itself. */
  exit(how?: Partial<UnitExit>): void
  isStopped: boolean
  isKilled: boolean
}

export interface FakeExeUnits extends ExeUnits {
  /** Those that run now, by activity. */
  readonly running: Map<string, FakeUnit>
  readonly launched: string[]
  /** What the next launches fail with. */
  refusal: Error | undefined
  /** Whether units end when they are asked to. */
  obeys: boolean
  /** Launches wait for it. */
  gate: Promise<void>
  /** A process that a former agent left running. */
  leave(activityId: string): void
}

/** Exe-units that tell `daemon` how they are, as real ones do over the bus. */
export function createFakeExeUnits(daemon: FakeDaemon): FakeExeUnits {
  const running = new Map<string, FakeUnit>()
  const controls = new Map<string, RunningUnit>()
  const begin = (request: FakeUnit['request']): RunningUnit => {
    const { activityId } = request
    const { promise: exited, resolve } = Promise.withResolvers<UnitExit>()
    const exit = (how: Partial<UnitExit> = {}) => {
      running.delete(activityId)
      controls.delete(activityId)
      resolve({ code: 0, signal: null, ...how })
    }
    const unit: FakeUnit = { request, exit, isStopped: false, isKilled: false }
    const end = () => {
      daemon.states.set(activityId, { state: ['Terminated', null] })
      exit()
    }
    const stop = async () => {
      unit.isStopped = true
      if (units.obeys) end()
      await exited
    }
    const kill = async () => {
      unit.isKilled = true
      exit({ code: null, signal: 'SIGKILL' })
      await exited
    }
    running.set(activityId, unit)
    const control = { exited, stop, kill }
    controls.set(activityId, control)
    return control
  }
  const units: FakeExeUnits = {
    running,
    launched: [],
    refusal: undefined,
    obeys: true,
    gate: Promise.resolve(),
    runtimes: async () => [
      {
        name: 'wasmtime',
        version: '0.3.0',
        template: {
          properties: { 'golem.com.usage.vector': ['golem.usage.duration_sec', 'golem.usage.cpu_sec'] },
          constraints: '',
        },
      },
    ],
    launch: async (request) => {
      units.launched.push(request.activityId)
      await units.gate
      if (units.refusal) throw units.refusal
      daemon.states.set(request.activityId, { state: ['Initialized', null] })
      return begin(request)
    },
    find: (activityId) => controls.get(activityId),
    leave: (activityId) => void begin({ activityId, agreementId: '' }),
  }
  return units
}
