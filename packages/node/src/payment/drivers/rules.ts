/** What holds for every driver. */
import { DriverError } from './errors.ts'
import { ORDER_ID_LENGTH_MAX, type PaymentOrder } from './types.ts'

/** The largest amount a packed item of a multi-transfer contract holds (uint96). Golem wire: 12 bytes of amount. */
export const AMOUNT_MAX_WEI = 2n ** 96n - 1n

const ADDRESS = /^0x[0-9a-f]{40}$/
const ZERO_ADDRESS = `0x${'0'.repeat(40)}`

/**
 * Judges a new order against the one stored under its id: `new`, or `known` when it is the same. Throws `bad-request`
 * and `order-conflict`. The due instant may differ: the first one counts.
 */
export function checkOrder(order: PaymentOrder, known: PaymentOrder | undefined): 'new' | 'known' {
  const { paymentOrderId: id, payer, payee, amountWei } = order
  const refuse = (field: string, value: unknown, rule: string): never => {
    const message = `payment order ${id.slice(0, ORDER_ID_LENGTH_MAX)}: ${field} is ${String(value)}, but ${rule}`
    throw new DriverError('bad-request', message, { field, value })
  }
  if (id.length === 0 || id.length > ORDER_ID_LENGTH_MAX)
    refuse('its id', id.length, 'it must have 1 to 128 characters')
  if (!ADDRESS.test(payer)) refuse('payer', payer, 'it must be a lower-case address')
  if (!ADDRESS.test(payee)) refuse('payee', payee, 'it must be a lower-case address')
  if (payee === ZERO_ADDRESS) refuse('payee', payee, 'the zero address cannot be paid')
  if (amountWei <= 0n) refuse('amountWei', amountWei, 'it must be more than zero')
  if (amountWei > AMOUNT_MAX_WEI) refuse('amountWei', amountWei, `it must not exceed ${AMOUNT_MAX_WEI}`)
  if (!Number.isFinite(order.dueMs)) refuse('dueMs', order.dueMs, 'it must be milliseconds since the epoch')
  if (!known) return 'new'
  const isSame =
    known.payer === payer && known.payee === payee && known.platform === order.platform && known.amountWei === amountWei
  if (isSame) return 'known'
  throw new DriverError('order-conflict', `payment order ${id} exists with another payer, payee, platform or amount`, {
    paymentOrderId: id,
  })
}

/** The transaction hash in a confirmation: exactly 32 bytes, as `0x` and hex. */
export function parseConfirmation(confirmation: Uint8Array): `0x${string}` | undefined {
  return confirmation.length === 32 ? `0x${Buffer.from(confirmation).toString('hex')}` : undefined
}
