import type { Bus } from '@emet/bus'
import type { AbortOptions, Clock, NodeId, RuntimeEvent } from '@emet/core'
import { ActivityError } from './errors.ts'
import { STREAM_ATTEMPTS_MAX, STREAM_RETRY_MS } from './options.ts'
import { fromWireError, parseWire, wireRuntimeEventSchema } from './protocol.ts'

export type StreamSource = {
  readonly address: string
  readonly owner: NodeId
  readonly activityId: string
  readonly batchId: string
  /** Whether the activity is known to have ended: then there is nothing to open again. */
  isEnded(): boolean
}

/**
 * A batch's events from the exe-unit. When the way there breaks, the stream is opened again. An exe-unit that replays
 * begins with the first event once more: then the ones already seen are skipped, so that nothing is lost and nothing comes
 * twice. An original exe-unit goes on with what is new.
 */
export async function* streamEvents(
  deps: { readonly bus: Bus; readonly clock: Clock },
  source: StreamSource,
  { signal }: AbortOptions,
): AsyncIterable<RuntimeEvent> {
  let first: string | undefined
  let delivered = 0
  for (let attempt = 0; ; attempt++) {
    let position = 0
    let isReplay = false
    try {
      for await (const event of open(deps.bus, source, signal)) {
        const text = position === 0 ? JSON.stringify(event) : ''
        if (position++ === 0) {
          isReplay = text === first
          first ??= text
        }
        if (isReplay && position <= delivered) continue
        delivered++
        attempt = 0
        yield event
      }
      return
    } catch (error) {
      if (attempt >= STREAM_ATTEMPTS_MAX || source.isEnded() || !isWayBroken(error, delivered)) throw error
      await deps.clock.sleep(STREAM_RETRY_MS, signal)
    }
  }
}

/** Whether trying again may help. An exe-unit that was never there will not come. */
function isWayBroken(error: unknown, delivered: number): boolean {
  if (!(error instanceof ActivityError)) return false
  if (delivered === 0 && error.facts['busCode'] === 'no-endpoint') return false
  return error.code === 'bus' || error.code === 'timeout'
}

/** A silent stream is no failure: programs may think for days. The transport notices a peer that has gone. */
const SILENCE_MS_MAX = 30 * 24 * 3_600_000

async function* open(bus: Bus, source: StreamSource, signal: AbortSignal | undefined): AsyncIterable<RuntimeEvent> {
  const body = { activity_id: source.activityId, batch_id: source.batchId }
  const caller = { kind: 'local', nodeId: source.owner } as const
  try {
    for await (const item of bus.stream(source.address, body, { caller, signal, timeoutMs: SILENCE_MS_MAX })) {
      yield parseWire(wireRuntimeEventSchema, item, 'an event of the exe-unit', 'service')
    }
  } catch (error) {
    throw fromWireError(error)
  }
}
