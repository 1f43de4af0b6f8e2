/** The requests under way: who calls, and when to give up. */
import type { RestCaller } from '@emet/api'
import type { FastifyRequest } from 'fastify'

/** Why a request's signal aborted. */
export type AbortCause = 'client-gone' | 'stopping'

/** The reason of a request's signal. */
export class RequestAborted extends Error {
  readonly abortCause: AbortCause
  constructor(abortCause: AbortCause) {
    super(abortCause === 'stopping' ? 'the daemon is stopping' : 'the client has gone')
    this.name = 'AbortError'
    this.abortCause = abortCause
  }
}

export type Call = { readonly caller: RestCaller | undefined; readonly signal: AbortSignal }

export interface Calls {
  /** Registers a request. It ends when its connection closes or its answer is sent. */
  begin(request: FastifyRequest, closed: (listener: () => void) => void, caller: RestCaller | undefined): void
  of(request: FastifyRequest): Call | undefined
  /** Aborts every call under way, and every later one. */
  stop(): void
  /** Calls that are not over. */
  readonly count: number
}

export function createCalls(): Calls {
  const byRequest = new WeakMap<FastifyRequest, Call>()
  const controllers = new Set<AbortController>()
  let isStopping = false
  return {
    begin: (request, closed, caller) => {
      const controller = new AbortController()
      byRequest.set(request, { caller, signal: controller.signal })
      controllers.add(controller)
      closed(() => {
        controllers.delete(controller)
        controller.abort(new RequestAborted('client-gone'))
      })
      if (isStopping) controller.abort(new RequestAborted('stopping'))
    },
    of: (request) => byRequest.get(request),
    stop: () => {
      isStopping = true
      for (const controller of controllers) controller.abort(new RequestAborted('stopping'))
    },
    get count() {
      return controllers.size
    },
  }
}
