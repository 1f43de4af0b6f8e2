import type { NodeId, Random } from '@emet/core'
import { NetError } from '../errors.ts'
import type { NetIdentity, PeerRole, Remote } from '../types.ts'
import { encodeFrame, FRAME, type Frame } from './frame.ts'
import {
  ALIASES_PER_PEER_MAX,
  checkProof,
  createHello,
  decodeHello,
  encodeHello,
  encodeProof,
  type Hello,
} from './hello.ts'
import type { Outbox } from './outbox.ts'

type GreetingDeps = { peer: NodeId; identity: NetIdentity; random: Random; outbox: Outbox }

/** Who both sides are: the greeting, and the proofs of further identities whenever there are new ones. */
export interface Greeting {
  readonly remote: Remote
  /** The peer's, once it has greeted. */
  readonly roles: readonly PeerRole[]
  /** Resolves when both sides have proven what they are. */
  readonly done: Promise<void>
  sendHello(): Promise<void>
  /** Takes a `hello` frame and answers with our proofs. */
  onHello(frame: Frame): Promise<void>
  onProof(frame: Frame): void
  /** Proves identities that were unlocked meanwhile. Frames keep order: the peer knows them before the next call. */
  proveNews(): Promise<void>
  fail(reason: Error): void
}

export function createGreeting(deps: GreetingDeps, roles: readonly PeerRole[]): Greeting {
  const { peer, identity, outbox } = deps
  const me = identity.defaultId
  const ours = createHello(deps.random, roles)
  const aliases = new Set<NodeId>()
  const told = new Set<NodeId>([me])
  const proofSent = Promise.withResolvers<void>()
  const proofCame = Promise.withResolvers<void>()
  const done = Promise.all([proofSent.promise, proofCame.promise]).then(() => {})
  done.catch(() => {})
  let theirs: Hello | undefined

  const news = () => identity.ids().filter((id) => !told.has(id))
  const prove = async (peerHello: Hello) => {
    const ids = news()
    for (const id of ids) told.add(id)
    const scope = { prover: me, proverNonce: ours.nonce, checker: peer, checkerNonce: peerHello.nonce }
    await outbox.send(encodeFrame(FRAME.proof, 0, await encodeProof(identity, ids, scope)))
  }
  return {
    remote: {
      nodeId: peer,
      get aliases() {
        return [...aliases]
      },
    },
    get roles() {
      return theirs?.roles ?? []
    },
    done,
    sendHello: () => outbox.send(encodeFrame(FRAME.hello, 0, encodeHello(ours))),
    onHello: async (frame) => {
      if (theirs) throw new NetError('protocol', `${peer} greeted twice`)
      theirs = decodeHello(frame.payload)
      await prove(theirs)
      proofSent.resolve()
    },
    onProof: (frame) => {
      if (!theirs) throw new NetError('protocol', `${peer} sent proofs before its greeting`)
      const scope = { prover: peer, proverNonce: theirs.nonce, checker: me, checkerNonce: ours.nonce }
      for (const id of checkProof(identity, frame.payload, scope)) aliases.add(id)
      if (aliases.size > ALIASES_PER_PEER_MAX) throw new NetError('protocol', `${peer} claims too many identities`)
      proofCame.resolve()
    },
    proveNews: async () => {
      if (theirs && news().length > 0) await prove(theirs)
    },
    fail: (reason) => {
      proofSent.reject(reason)
      proofCame.reject(reason)
    },
  }
}
