/**
 * Signed payments. Golem wire: the payer signs SHA3-256 of the payment's canonical JSON (without allocation ids) with
 * its node key; the payee gets those very bytes with the payment, and compares what they say with what it was told.
 */
import { type NodeId, type Payment, paymentSchema } from '@emet/core'
import { sha3_256 } from '@noble/hashes/sha3.js'
import { z } from 'zod'
import type { Signer } from '../identity/types.ts'
import { canonicalJson, type Json } from './canonical-json.ts'
import { PaymentError } from './errors.ts'
import type { Bytes } from './records.ts'

export type PaymentSignature = { readonly signature: Bytes; readonly signedBytes: Bytes }

export async function signPayment(signer: Pick<Signer, 'sign'>, payment: Payment): Promise<PaymentSignature> {
  const signedBytes = new TextEncoder().encode(canonicalText(payment))
  const signature = await signer.sign(payment.payerId, sha3_256(signedBytes))
  return { signedBytes, signature: Uint8Array.from(signature) }
}

/** Throws `PaymentError` `bad-signature` unless `payerId` signed exactly this payment. */
export function checkSignature(
  signer: Pick<Signer, 'recover'>,
  payment: Payment,
  { signature, signedBytes }: PaymentSignature,
): void {
  const signedBy = recover(signer, sha3_256(signedBytes), signature)
  if (signedBy !== payment.payerId) {
    const message = `payment ${payment.paymentId} is signed by ${signedBy ?? 'nobody'}, not by its payer ${payment.payerId}`
    throw new PaymentError('bad-signature', message, { paymentId: payment.paymentId, signedBy })
  }
  if (canonicalText(parseSigned(signedBytes)) !== canonicalText(payment)) {
    const message = `payment ${payment.paymentId} is not what its signature says`
    throw new PaymentError('bad-signature', message, { paymentId: payment.paymentId })
  }
}

/** The payment that signed bytes hold. */
export function parseSigned(signedBytes: Uint8Array): Payment {
  try {
    return withoutAllocations(
      paymentSchema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(signedBytes))),
    )
  } catch (cause) {
    throw new PaymentError('bad-signature', 'the signed bytes hold no payment', {}, { cause })
  }
}

/** Allocation ids are the payer's own business. */
export function withoutAllocations(payment: Payment): Payment {
  const strip = <S extends { allocationId?: string | undefined }>(share: S): S => ({
    ...share,
    allocationId: undefined,
  })
  return {
    ...payment,
    agreementPayments: payment.agreementPayments.map(strip),
    activityPayments: payment.activityPayments.map(strip),
  }
}

function canonicalText(payment: Payment): string {
  return canonicalJson(JSON.parse(JSON.stringify(z.encode(paymentSchema, withoutAllocations(payment)))) as Json)
}

function recover(signer: Pick<Signer, 'recover'>, digest: Uint8Array, signature: Uint8Array): NodeId | undefined {
  return signature.length === 65 ? signer.recover(digest, signature) : undefined
}
