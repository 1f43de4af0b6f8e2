import { formatAmount, parseAmount } from '@emet/core'
import { GolemError } from './errors.ts'
import type { Money } from './types.ts'

/** Wei of an amount given as wei or as a decimal text. Throws `GolemError` (`spec.invalid`) for anything else, or below zero. */
export function toWei(amount: Money, name: string): bigint {
  const wei = typeof amount === 'bigint' ? amount : parseAmount(amount)
  if (wei !== undefined && wei >= 0n) return wei
  throw new GolemError('spec.invalid', `${name} is not an amount: ${JSON.stringify(String(amount))}`, {
    phase: 'find',
    blame: 'user',
    retryable: false,
    hint: "Give wei as a bigint, or a decimal text such as '0.25'",
  })
}

/** An amount of GLM in wei: `glm('0.25')`. */
export const glm = (text: string): bigint => toWei(text, 'amount')

/** Wei as a decimal text. */
export const formatGlm = (wei: bigint): string => formatAmount(wei)
