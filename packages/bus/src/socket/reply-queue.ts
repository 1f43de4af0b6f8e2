import { BusError } from '../errors.ts'
import type { CallReply } from '../gsb/calls.ts'
import { REPLY_QUEUE_LENGTH_MAX } from './limits.ts'

/** Replies between the socket, which pushes, and one caller, who pulls. */
export type ReplyQueue = {
  /** Adds a reply. After the last one of a call, more are ignored. */
  push(reply: CallReply): void
  /** The next reply, as soon as there is one. */
  next(): Promise<CallReply>
}

/** A queue that ends the call instead of growing beyond `REPLY_QUEUE_LENGTH_MAX`. */
export function createReplyQueue(): ReplyQueue {
  const replies: CallReply[] = []
  let wake: (() => void) | undefined
  let isEnded = false

  const push = (reply: CallReply): void => {
    if (isEnded) return
    isEnded = reply.kind !== 'partial'
    if (replies.length >= REPLY_QUEUE_LENGTH_MAX) {
      const message = `the caller is slower than the stream: more than ${REPLY_QUEUE_LENGTH_MAX} replies wait for it`
      replies.push({ kind: 'failure', error: new BusError('overloaded', message) })
      isEnded = true
    } else replies.push(reply)
    wake?.()
  }
  const next = async (): Promise<CallReply> => {
    while (replies.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    return replies.shift() as CallReply
  }
  return { push, next }
}
