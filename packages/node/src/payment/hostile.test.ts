import { BusError, ReplyError } from '@emet/bus'
import { debitNoteSchema, invoiceSchema, type NodeId, type Payment, paymentSchema } from '@emet/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { canonicalJson, type Json } from './canonical-json.ts'
import type { PaymentDriver } from './drivers/index.ts'
import { ANNOUNCED_PER_PEER_MAX } from './options.ts'
import { checkSignature, signPayment } from './signing.ts'
import {
  ACTIVITY,
  AGREEMENT,
  agreementBetween,
  createTestSigner,
  createWorld,
  GLM,
  idOf,
  PLATFORM,
  type World,
} from './testing/index.ts'

let world: World
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => world.stop())

const requestorId = idOf(1)
const providerId = idOf(2)
const strangerId = idOf(3)
const signers = createTestSigner([1, 2, 3])

/** Says something to a node as a peer does; returns what it answers. */
async function say(to: 'requestor' | 'provider', message: string, body: unknown, from: NodeId): Promise<unknown> {
  try {
    return await world[to].bus.call(`/public/payment/${message}`, body, { caller: { kind: 'peer', nodeId: from } })
  } catch (error) {
    if (error instanceof ReplyError) return error.data
    if (error instanceof BusError) return error.code
    throw error
  }
}
const refused = (kind: string, code: string) => ({ [kind]: expect.stringContaining(`(${code})`) })

const note = (change: Partial<z.output<typeof debitNoteSchema>> = {}) =>
  z.encode(debitNoteSchema, {
    debitNoteId: 'note-1',
    issuerId: providerId,
    recipientId: requestorId,
    payeeAddr: providerId,
    payerAddr: requestorId,
    paymentPlatform: PLATFORM,
    previousDebitNoteId: undefined,
    timestamp: 1_700_000_000_000_000,
    agreementId: AGREEMENT,
    activityId: ACTIVITY,
    totalAmountDue: 2n * GLM,
    usageCounterVector: [1],
    paymentDueDate: undefined,
    status: 'ISSUED',
    ...change,
  })
const invoice = (change: Partial<z.output<typeof invoiceSchema>> = {}) =>
  z.encode(invoiceSchema, {
    invoiceId: 'invoice-1',
    issuerId: providerId,
    recipientId: requestorId,
    payeeAddr: providerId,
    payerAddr: requestorId,
    paymentPlatform: PLATFORM,
    timestamp: 1_700_000_000_000_000,
    agreementId: AGREEMENT,
    activityIds: [ACTIVITY],
    amount: 5n * GLM,
    paymentDueDate: 1_700_000_000_000_000,
    status: 'ISSUED',
    ...change,
  })

describe('what a provider may not send', () => {
  it.each([
    ['a note of another issuer', note({ issuerId: strangerId }), 'wrong-party'],
    ['a note for an agreement that does not exist', note({ agreementId: 'c'.repeat(64) }), 'foreign-agreement'],
    ['a note for somebody else', note({ recipientId: strangerId }), 'foreign-agreement'],
    ['a note for an activity that does not exist', note({ activityId: 'x' }), 'foreign-activity'],
    ['a note to be paid to another address', note({ payeeAddr: strangerId }), 'wrong-address'],
    ['a note to be paid by another address', note({ payerAddr: strangerId }), 'wrong-address'],
    ['a note to no address', note({ payeeAddr: 'home' }), 'wrong-address'],
    ['a note on another platform', note({ paymentPlatform: 'erc20-polygon-glm' }), 'wrong-platform'],
    ['a note over less than nothing', note({ totalAmountDue: -1n }), 'bad-request'],
    ['a note with too much usage', note({ usageCounterVector: 'x'.repeat(20_000) }), 'bad-request'],
    ['a note with an endless id', note({ debitNoteId: 'x'.repeat(1_000) }), 'bad-request'],
    ['something that is no note', { debitNoteId: 7 }, 'bad-request'],
  ])('%s', async (_name, body, code) => {
    expect(await say('requestor', 'SendDebitNote', body, providerId)).toEqual(refused('BadRequest', code))
    expect(world.requestor.payment.debitNotes.list(requestorId)).toEqual([])
  })

  it('another content under a known id, a lower total, a second invoice; the same again is fine', async () => {
    expect(await say('requestor', 'SendDebitNote', note(), providerId)).toEqual({})
    expect(await say('requestor', 'SendDebitNote', note(), providerId)).toEqual({})
    const more = note({ totalAmountDue: 9n * GLM })
    expect(await say('requestor', 'SendDebitNote', more, providerId)).toEqual(refused('BadRequest', 'conflict'))
    const later = { debitNoteId: 'note-2', timestamp: 1_700_000_000_000_001, totalAmountDue: GLM }
    expect(await say('requestor', 'SendDebitNote', note(later), providerId)).toEqual(
      refused('BadRequest', 'amount-lowered'),
    )
    const earlier = { ...later, timestamp: 1_600_000_000_000_000 }
    expect(await say('requestor', 'SendDebitNote', note(earlier), providerId), 'a late older one').toEqual({})
    expect(await say('requestor', 'SendInvoice', invoice({ amount: GLM }), providerId)).toEqual(
      refused('BadRequest', 'amount-lowered'),
    )
    expect(await say('requestor', 'SendInvoice', invoice({ activityIds: ['x'] }), providerId)).toEqual(
      refused('BadRequest', 'foreign-activity'),
    )
    expect(await say('requestor', 'SendInvoice', invoice(), providerId)).toEqual({})
    expect(await say('requestor', 'SendInvoice', invoice({ invoiceId: 'other' }), providerId)).toEqual(
      refused('BadRequest', 'conflict'),
    )
    expect(world.requestor.payment.sheets.agreement(requestorId, AGREEMENT)?.totalAmountDue).toBe(5n * GLM)
  })

  it('a bill for an agreement that was never concluded', async () => {
    world.agreements.set(AGREEMENT, { ...agreementBetween(requestorId, providerId), state: 'Rejected' })
    expect(await say('requestor', 'SendInvoice', invoice(), providerId)).toEqual(refused('BadRequest', 'wrong-state'))
  })

  it('the cancellation of what is not its own', async () => {
    await say('requestor', 'SendInvoice', invoice(), providerId)
    const cancel = { invoiceId: 'invoice-1', recipientId: requestorId }
    expect(await say('requestor', 'CancelInvoice', cancel, strangerId)).toEqual(refused('Forbidden', 'wrong-party'))
    const unknown = { ...cancel, invoiceId: 'x' }
    expect(await say('requestor', 'CancelInvoice', unknown, providerId)).toEqual(refused('ObjectNotFound', 'not-found'))
  })
})

describe('what a requestor may not say', () => {
  const issued = async () => {
    const { payment, id } = world.provider
    const paymentDueDate = (world.clock.nowMs() + 1e9) * 1000
    const bill = payment.invoices.issue(id, {
      agreementId: AGREEMENT,
      activityIds: [ACTIVITY],
      amount: 5n * GLM,
      paymentDueDate,
    })
    await payment.invoices.send(id, bill.invoiceId)
    return bill.invoiceId
  }
  const accept = (invoiceId: string, amount = '5', issuerId: string = providerId) => ({
    invoiceId,
    acceptance: { totalAmountAccepted: amount, allocationId: '' },
    issuerId,
  })

  it('that it accepts what is not for it, or only a part', async () => {
    const id = await issued()
    expect(await say('provider', 'AcceptInvoice', accept(id), strangerId)).toEqual(refused('Forbidden', 'wrong-party'))
    expect(await say('provider', 'AcceptInvoice', accept('x'), requestorId)).toEqual(
      refused('ObjectNotFound', 'not-found'),
    )
    expect(await say('provider', 'AcceptInvoice', accept(id, '4.9'), requestorId)).toEqual(
      refused('BadRequest', 'amount-mismatch'),
    )
    expect(await say('provider', 'AcceptInvoice', accept(id, '5.000'), requestorId), 'amounts are numbers').toEqual({})
    expect(await say('provider', 'AcceptInvoice', accept(id), requestorId), 'twice').toEqual({})
  })

  /** A transfer on the ledger, and the payment that claims it. */
  const paid = (glm: bigint, change: Partial<Payment> = {}): Payment => {
    const [transfer] = world.ledger.move(requestorId, PLATFORM, [{ payee: providerId, amountWei: glm * GLM }], 0) ?? []
    return paymentFor(Uint8Array.from(Buffer.from(transfer!.hash.slice(2), 'hex')), glm, change)
  }
  const paymentFor = (details: Uint8Array<ArrayBuffer>, glm: bigint, change: Partial<Payment> = {}): Payment => ({
    paymentId: 'payment-1',
    payerId: requestorId,
    payeeId: providerId,
    payerAddr: requestorId,
    payeeAddr: providerId,
    paymentPlatform: PLATFORM,
    amount: glm * GLM,
    timestamp: 1_700_000_000_000_000,
    agreementPayments: [{ agreementId: AGREEMENT, amount: glm * GLM, allocationId: undefined }],
    activityPayments: [],
    details,
    ...change,
  })
  const announce = async (payment: Payment, from: NodeId = payment.payerId, forged: Partial<Payment> = {}) => {
    const { signature, signedBytes } = await signPayment(signers, payment)
    const body = { ...z.encode(paymentSchema, { ...payment, ...forged }), signature, signed_bytes: signedBytes }
    return say('provider', 'SendPaymentWithBytes', body, from)
  }
  const paidSoFar = () => world.provider.payment.sheets.agreement(providerId, AGREEMENT)?.totalAmountPaid

  it('that one transfer pays twice', async () => {
    await issued()
    const first = paid(3n)
    expect(await announce(first)).toEqual({})
    expect(await announce(first), 'the same again').toEqual({})
    expect(paidSoFar()).toBe(3n * GLM)
    expect(await announce({ ...first, paymentId: 'payment-2' })).toEqual(refused('BadRequest', 'not-on-chain'))
    expect(await announce({ ...first, timestamp: 1 })).toEqual(refused('BadRequest', 'conflict'))
    expect(paidSoFar()).toBe(3n * GLM)
  })

  it('that it paid more than it did, in shares that do not fit, or to somebody else', async () => {
    await issued()
    const share = (amount: bigint, agreementId = AGREEMENT) => [{ agreementId, amount, allocationId: undefined }]
    const cases: [Partial<Payment>, string][] = [
      [{ amount: 4n * GLM }, 'not-on-chain'],
      [{ agreementPayments: share(4n * GLM) }, 'bad-shares'],
      [{ agreementPayments: share(0n) }, 'bad-shares'],
      [{ agreementPayments: [] }, 'bad-shares'],
      [{ agreementPayments: share(GLM, 'c'.repeat(64)) }, 'foreign-agreement'],
      [{ activityPayments: [{ activityId: 'x', amount: 1n, allocationId: undefined }] }, 'foreign-activity'],
      [{ paymentPlatform: 'mock-local-glm' }, 'wrong-platform'],
      [{ payerAddr: strangerId }, 'wrong-address'],
      [{ payeeId: strangerId }, 'wrong-party'],
      [{ details: new Uint8Array(0) }, 'bad-request'],
      [{ paymentId: 'x'.repeat(500) }, 'bad-request'],
    ]
    for (const [change, code] of cases) {
      expect(await announce(paid(3n, change)), code).toEqual(refused('BadRequest', code))
    }
    expect(paidSoFar()).toBe(0n)
  })

  it('what it has not signed, or somebody else has', async () => {
    await issued()
    const payment = paid(3n)
    expect(await announce(payment, requestorId, { timestamp: 5 })).toEqual(refused('BadRequest', 'bad-signature'))
    expect(await announce(payment, strangerId)).toEqual(refused('BadRequest', 'wrong-party'))
    const asStranger = await signPayment(signers, { ...payment, payerId: strangerId })
    const body = {
      ...z.encode(paymentSchema, payment),
      signature: asStranger.signature,
      signed_bytes: asStranger.signedBytes,
    }
    expect(await say('provider', 'SendPaymentWithBytes', body, requestorId)).toEqual(
      refused('BadRequest', 'bad-signature'),
    )
    expect(paidSoFar()).toBe(0n)
  })

  it('more about payments to come than it may fill; those that come are booked', async () => {
    await issued()
    const nowhere = (index: number) => {
      const hash = Uint8Array.from({ length: 32 }, (_, at) => (at === 31 ? 1 : at === 30 ? index : 9))
      return paymentFor(hash, 1n, { paymentId: `p-${index}` })
    }
    for (let index = 0; index < ANNOUNCED_PER_PEER_MAX; index++) expect(await announce(nowhere(index))).toEqual({})
    expect(await announce(nowhere(200))).toEqual(refused('ServiceError', 'too-many'))
    expect(paidSoFar()).toBe(0n)
  })

  it('that another transfer stands in for one that never came', async () => {
    await issued()
    const payment = paid(5n)
    world.ledger.forget(`0x${Buffer.from(payment.details).toString('hex')}`)
    expect(await announce(payment)).toEqual({})
    paid(5n)
    await world.clock.advance(20_000)
    expect(paidSoFar()).toBe(0n)
  })

  it('nothing, once the chain has changed its mind: a payment that vanishes before it is final counts no more', async () => {
    await world.stop()
    const lessSure = (driver: PaymentDriver): PaymentDriver => ({
      ...driver,
      verify: async (request) => {
        const seen = await driver.verify(request)
        return seen.kind === 'confirmed' ? { ...seen, isFinal: false, finalInMs: 5_000 } : seen
      },
    })
    world = await createWorld({ deps: (deps) => ({ ...deps, drivers: deps.drivers.map(lessSure) }) })
    const invoiceId = await issued()
    const payment = paid(5n)
    await say('provider', 'AcceptInvoice', accept(invoiceId), requestorId)
    await announce(payment)
    const status = () => world.provider.payment.invoices.get(providerId, invoiceId).status
    expect([paidSoFar(), status()]).toEqual([5n * GLM, 'SETTLED'])
    await world.clock.advance(20_000)
    expect(paidSoFar(), 'still there').toBe(5n * GLM)
    world.ledger.forget(`0x${Buffer.from(payment.details).toString('hex')}`)
    await world.clock.advance(20_000)
    expect([paidSoFar(), status()]).toEqual([0n, 'ACCEPTED'])
    expect(await world.provider.payment.payments.poll(providerId, { timeoutMs: 0 })).toEqual([])
  })
})

describe('the signature', () => {
  it('covers the canonical text without allocation ids, whatever the layout of the bytes', async () => {
    const payment: Payment = {
      ...{ paymentId: 'p', payerId: requestorId, payeeId: providerId, payerAddr: requestorId, payeeAddr: providerId },
      paymentPlatform: PLATFORM,
      amount: GLM,
      timestamp: 1_700_000_000_000_000,
      agreementPayments: [{ agreementId: AGREEMENT, amount: GLM, allocationId: 'mine' }],
      activityPayments: [],
      details: Uint8Array.of(1, 2, 3),
    }
    const proof = await signPayment(signers, payment)
    const text = new TextDecoder().decode(proof.signedBytes)
    expect(text).not.toContain('mine')
    expect(text).toBe(canonicalJson(JSON.parse(text) as Json))
    expect(() => checkSignature(signers, payment, proof)).not.toThrow()
    expect(() => checkSignature(signers, { ...payment, amount: 2n * GLM }, proof)).toThrow(
      'not what its signature says',
    )
    const broken = { ...proof, signature: proof.signature.slice(1) }
    expect(() => checkSignature(signers, payment, broken)).toThrow('signed by nobody')
  })
})
