/** The receiving side: verification on chain, and claims, so that one transfer pays for one thing only. */
import type { Clock } from '@emet/core'
import type { Chain, Receipt } from '../../chain/index.ts'
import { ChainError } from '../../chain/index.ts'
import { DriverError } from '../errors.ts'
import { parseConfirmation } from '../rules.ts'
import type {
  ConfirmedTransfer,
  PaymentDriver,
  PendingTransfer,
  TransferClaim,
  Verification,
  VerifyOptions,
  VerifyRequest,
} from '../types.ts'
import { ORDER_ID_LENGTH_MAX } from '../types.ts'
import type { Erc20Network } from './networks.ts'
import type { Erc20Store } from './store.ts'
import { judgeReceipt, refuse } from './verify.ts'

export type PayeeDeps = {
  readonly store: Erc20Store
  readonly clock: Clock
  readonly networkOf: (platform: string) => Erc20Network
  readonly chainOf: (network: Erc20Network) => Chain
  readonly pollMs: (network: Erc20Network) => number
}

export function createPayee(deps: PayeeDeps): Pick<PaymentDriver, 'verify' | 'claim' | 'release'> {
  const { store, clock } = deps

  const confirm = async (request: VerifyRequest, receipt: Receipt, signal: AbortSignal | undefined) => {
    const network = deps.networkOf(request.platform)
    const chain = deps.chainOf(network)
    const judged = judgeReceipt(receipt, request, network)
    if (judged.kind === 'refused') return judged
    const [head, block] = await Promise.all([chain.head({ signal }), chain.blockAt(receipt.blockNumber, { signal })])
    // A lagging or reorganised endpoint may still serve a receipt of a block that is no longer there.
    if (block?.hash !== receipt.blockHash) return notDeep('not-found', 0, network)
    const depth = Math.max(head.number - receipt.blockNumber + 1, 1)
    if (depth < network.wantedDepth) return notDeep('not-deep-enough', depth, network)
    const { chainId } = network
    const { platform, payer, payee } = request
    const amountWei = judged.logs.reduce((sum, log) => sum + log.amountWei, 0n)
    const seen = { platform, payer, payee, chainId, transactionHash: receipt.hash }
    const claimedWei = claimedBesides(store, seen, network.token.address, request.paymentId)
    if (amountWei - claimedWei < request.amountWei) {
      return refuse(
        'already-claimed',
        request,
        amountWei - claimedWei,
        `other payments have claimed ${claimedWei} of it`,
      )
    }
    return {
      kind: 'confirmed',
      ...seen,
      logs: judged.logs,
      amountWei,
      claimedWei,
      blockNumber: receipt.blockNumber,
      blockHash: receipt.blockHash,
      blockTimeMs: block.timeMs,
      depth,
      isFinal: depth >= network.finalDepth,
      finalInMs: Math.max(network.finalDepth - depth, 0) * network.blockTimeMs,
    } satisfies ConfirmedTransfer
  }
  const look = async (request: VerifyRequest, signal: AbortSignal | undefined): Promise<Verification> => {
    const network = deps.networkOf(request.platform)
    const hash = parseConfirmation(request.confirmation)
    if (!hash) return refuse('malformed', request, 0n, 'a confirmation is the 32 bytes of a transaction hash')
    try {
      const receipt = await deps.chainOf(network).receipt(hash, { signal })
      return receipt ? await confirm(request, receipt, signal) : notDeep('not-found', 0, network)
    } catch (error) {
      if (!(error instanceof ChainError)) throw error
      throw new DriverError('rpc', `cannot verify a payment on ${network.name}: ${error.message}`, {}, { cause: error })
    }
  }

  return {
    verify: async (request: VerifyRequest, { patienceMs = 0, signal }: VerifyOptions = {}) => {
      const deadlineMs = clock.monotonicMs() + patienceMs
      const network = deps.networkOf(request.platform)
      for (;;) {
        const leftMs = deadlineMs - clock.monotonicMs()
        const seen = await look(request, signal)
        if (seen.kind !== 'pending' || leftMs <= 0) return seen
        await clock.sleep(Math.min(deps.pollMs(network), leftMs), signal)
      }
    },
    claim: (claim) => store.transact(() => insertClaim(store, claim, deps.networkOf(claim.transfer.platform))),
    release: (paymentId) => store.deleteClaim(paymentId),
  }
}

function insertClaim(store: Erc20Store, claim: TransferClaim, network: Erc20Network): void {
  const { paymentId, amountWei, transfer } = claim
  const { chainId, transactionHash, payer, payee } = transfer
  if (paymentId.length === 0 || paymentId.length > ORDER_ID_LENGTH_MAX || amountWei <= 0n) {
    const message = `claim of payment ${paymentId.slice(0, ORDER_ID_LENGTH_MAX)}: needs an id and an amount above zero`
    throw new DriverError('bad-request', message, { paymentId, amountWei })
  }
  const known = store.claim(paymentId)
  if (known?.transactionHash === transactionHash && known.amountWei === amountWei) return
  const claimedWei = claimedBesides(store, transfer, network.token.address, undefined)
  if (known || claimedWei + amountWei > transfer.amountWei) {
    const message = `transaction ${transactionHash} cannot pay for ${paymentId}: ${claimedWei} of ${transfer.amountWei} is claimed`
    throw new DriverError('already-claimed', message, { paymentId, transactionHash })
  }
  const logIndex = transfer.logs[0]?.logIndex ?? 0
  const token = network.token.address
  store.insertClaim({ paymentId, chainId, transactionHash, logIndex, token, payer, payee, amountWei })
}

/**
 * Claims count by chain, transaction, token, payer and payee together: after a reorganisation the same transfer may have
 * another log index, and must not be worth twice. Networks that share a chain share the claims.
 */
function claimedBesides(
  store: Erc20Store,
  transfer: Pick<ConfirmedTransfer, 'chainId' | 'transactionHash' | 'payer' | 'payee'>,
  token: string,
  paymentId: string | undefined,
): bigint {
  return store
    .claimsOn(transfer.chainId, transfer.transactionHash)
    .filter((claim) => claim.token === token && claim.payer === transfer.payer && claim.payee === transfer.payee)
    .filter((claim) => claim.paymentId !== paymentId)
    .reduce((sum, claim) => sum + claim.amountWei, 0n)
}

const notDeep = (reason: PendingTransfer['reason'], depth: number, network: Erc20Network): PendingTransfer => ({
  kind: 'pending',
  reason,
  depth,
  wantedDepth: network.wantedDepth,
})
