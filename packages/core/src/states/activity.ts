import type { ActivityStateName } from '../documents/index.ts'
import { illegalMove } from './machine.ts'

/**
 * An activity's state: what it is, and what it is becoming. While its exe-unit is silent it is `Unresponsive`, and
 * `lastKnown` is what it goes back to when reports resume.
 *
 *     [New,-] --initialize--> [Initialized,-]
 *     [Initialized,-] --deploy--> [Initialized,Deployed] --complete--> [Deployed,-]
 *     [Deployed,-]    --start-->  [Deployed,Ready]       --complete--> [Ready,-]
 *     [Ready,-]       --run-->    [Ready,Ready]          --complete--> [Ready,-]
 *     [X,*]           --terminate--> [X,Terminated]      --complete--> [Terminated,-]
 *     [X,Y]           --abort-->  [X,-]                  (the command failed)
 *     [X,*]           --reset-->  [Initialized,-]        (`terminate` within a script stops the runtime only)
 *     [X,*] --silence--> [Unresponsive,*] --resume--> [X,*]
 */
export type ActivityStage = {
  readonly current: ActivityStateName
  readonly pending: ActivityStateName | null
  readonly lastKnown?: ActivityStateName
}

export type ActivityMove =
  | 'initialize'
  | 'deploy'
  | 'start'
  | 'run'
  | 'terminate'
  | 'reset'
  | 'complete'
  | 'abort'
  | 'silence'
  | 'resume'

/** An activity as it is created. */
export const NEW_ACTIVITY: ActivityStage = { current: 'New', pending: null }

const STABLE_MOVES: Readonly<Partial<Record<ActivityMove, { from: ActivityStateName; next: ActivityStage }>>> = {
  initialize: { from: 'New', next: { current: 'Initialized', pending: null } },
  deploy: { from: 'Initialized', next: { current: 'Initialized', pending: 'Deployed' } },
  start: { from: 'Deployed', next: { current: 'Deployed', pending: 'Ready' } },
  run: { from: 'Ready', next: { current: 'Ready', pending: 'Ready' } },
}

/** The stage after a move. Throws `StateError` when the stage has no such move. */
export function transitionActivity(stage: ActivityStage, move: ActivityMove): ActivityStage {
  const next = nextStage(stage, move)
  if (next) return next
  throw illegalMove('activity', `[${stage.current},${stage.pending ?? '-'}]`, move, legalIn(move))
}

function nextStage(stage: ActivityStage, move: ActivityMove): ActivityStage | undefined {
  if (stage.current === 'Terminated') return undefined
  switch (move) {
    case 'terminate':
      return { ...stage, pending: 'Terminated' }
    case 'complete':
      if (stage.pending === null) return undefined
      return { current: stage.pending, pending: null }
    case 'abort':
      return stage.pending === null || stage.pending === 'Terminated' ? undefined : { ...stage, pending: null }
    case 'silence':
      return stage.current === 'Unresponsive'
        ? undefined
        : { ...stage, current: 'Unresponsive', lastKnown: stage.current }
    case 'resume':
      return stage.lastKnown && { current: stage.lastKnown, pending: stage.pending }
    case 'reset':
      return isRunning(stage) ? { current: 'Initialized', pending: null } : undefined
    default: {
      const rule = STABLE_MOVES[move]
      return stage.pending === null && stage.current === rule?.from ? rule.next : undefined
    }
  }
}

const isRunning = (stage: ActivityStage): boolean => stage.current !== 'New' && stage.pending !== 'Terminated'

function legalIn(move: ActivityMove): readonly string[] {
  const rule = STABLE_MOVES[move]
  if (rule) return [`[${rule.from},-]`]
  if (move === 'complete' || move === 'abort') return ['a pending state']
  return move === 'resume' ? ['[Unresponsive,*]'] : ['a state that has not ended']
}

/** Whether an activity can still do something: neither ended nor ending. */
export function isActivityAlive(stage: Pick<ActivityStage, 'current' | 'pending'>): boolean {
  return stage.current !== 'Terminated' && stage.pending !== 'Terminated'
}

/** The pair as documents carry it. */
export function activityStatePair(stage: ActivityStage): readonly [ActivityStateName, ActivityStateName | null] {
  return [stage.current, stage.pending]
}
