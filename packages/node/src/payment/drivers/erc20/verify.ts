/**
 * Is what a peer calls a payment one? Pure: judges a receipt.
 *
 * Only `Transfer` logs emitted by the platform's own token count. The payer is the log's `from`, or, when a known
 * multi-pay contract passed the money on, the sender of the transaction to exactly that contract. Native coin, other
 * tokens and other contracts never count, whoever sent them.
 */
import { parseTransfer, type Receipt } from '../../chain/index.ts'
import { parseConfirmation } from '../rules.ts'
import type { RefusalReason, RefusedTransfer, TransferLog, VerifyRequest } from '../types.ts'
import type { Erc20Network } from './networks.ts'

export type ReceiptJudgement = { readonly kind: 'transferred'; readonly logs: readonly TransferLog[] } | RefusedTransfer

/** Finds the transfers from payer to payee in the receipt. Neither depth nor claims are looked at. */
export function judgeReceipt(receipt: Receipt, request: VerifyRequest, network: Erc20Network): ReceiptJudgement {
  if (!receipt.isSuccess) return refuse('reverted', request, 0n, 'the transaction was reverted')
  const transfers = receipt.logs.flatMap((log) => parseTransfer(log, network.token.address) ?? [])
  const toPayee = transfers.filter((transfer) => transfer.to === request.payee)
  const isPassedOn = network.multiPay !== undefined && receipt.to === network.multiPay && receipt.from === request.payer
  const mine = toPayee.filter(
    (transfer) => transfer.from === request.payer || (isPassedOn && transfer.from === network.multiPay),
  )
  const logs = mine.map(({ logIndex, amountWei }) => ({ logIndex, amountWei }))
  const foundWei = logs.reduce((sum, log) => sum + log.amountWei, 0n)
  if (toPayee.length === 0) return refuse('no-transfer', request, 0n, `no ${network.token.symbol} went to the payee`)
  if (mine.length === 0) return refuse('wrong-payer', request, 0n, 'somebody else than the payer paid')
  if (foundWei < request.amountWei) return refuse('too-small', request, foundWei, `only ${foundWei} was transferred`)
  return { kind: 'transferred', logs }
}

/** A refusal whose message names what was claimed. */
export function refuse(reason: RefusalReason, request: VerifyRequest, foundWei: bigint, why: string): RefusedTransfer {
  const { payer, payee, amountWei, platform } = request
  const hash = parseConfirmation(request.confirmation) ?? `${request.confirmation.length} bytes`
  const message = `payment of ${amountWei} from ${payer} to ${payee} on ${platform} by ${hash} refused: ${why}`
  return { kind: 'refused', reason, message, foundWei }
}
