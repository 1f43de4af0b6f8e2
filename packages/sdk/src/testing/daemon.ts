import {
  type Agreement,
  type AgreementOperationEvent,
  type DebitNote,
  type DebitNoteEvent,
  type ExeScript,
  fromMs,
  type InstantUs,
  type Invoice,
  type InvoiceEvent,
  linearCost,
  nodeId,
  type Proposal,
  pricingFromProperties,
  type RequestorEvent,
  type SignedPayment,
} from '@emet/core'
import type { VirtualClock } from '@emet/core/testing'
import type { DaemonClient } from '../daemon.ts'

import { runScript } from './machine.ts'
import { createPoll, never, type Poll, refusal } from './poll.ts'
import {
  type Contract,
  type FakeActivity,
  type FakeBatch,
  type FakeDaemon,
  type FakeProvider,
  fakeProviderId,
} from './types.ts'

/** Makes the fake daemon. */
export function createFakeDaemon(clock: VirtualClock, providers: readonly FakeProvider[]): FakeDaemon {
  let lastId = 0
  const id = (kind: string) => `${kind}-${++lastId}`
  const us = () => fromMs(clock.nowMs()) as InstantUs
  const me = nodeId(`0x${'11'.repeat(20)}`)
  const platform = 'erc20-anvil-tglm'
  const demands = new Map<string, Poll<RequestorEvent>>()
  const proposals = new Map<string, { proposal: Proposal; provider: FakeProvider; demandId: string }>()
  const contracts = new Map<string, Contract>()
  const activities = new Map<string, FakeActivity>()
  let cutOffUntilMs = 0
  const allocations = new Map<string, { total: bigint; spent: bigint }>()
  const files = new Map<string, Uint8Array>()
  const agreementEvents = createPoll<AgreementOperationEvent>(clock)
  const noteEvents = createPoll<DebitNoteEvent>(clock)
  const invoiceEvents = createPoll<InvoiceEvent>(clock)
  const notes = new Map<string, DebitNote>()
  const invoices = new Map<string, Invoice>()
  const payments = new Map<string, SignedPayment[]>()
  const accepted: FakeDaemon['accepted'] = []
  const rejected: string[] = []
  const signed = new Map<string, number>()

  const offerOf = (provider: FakeProvider) => ({
    'golem.com.pricing.model': 'linear',
    'golem.com.pricing.model.linear.coeffs': [...(provider.prices ?? [0.001, 0.0005, 0])],
    'golem.com.usage.vector': ['golem.usage.duration_sec', 'golem.usage.cpu_sec'],
    'golem.inf.cpu.threads': provider.threads ?? 1,
    'golem.node.id.name': provider.name,
    'golem.runtime.name': 'wasmtime',
  })
  const propose = (demandId: string, provider: FakeProvider, previous?: string, posted?: Record<string, unknown>) => {
    const negotiable = Object.entries(posted ?? {}).filter(([name]) => name.endsWith('?'))
    const proposal: Proposal = {
      properties: { ...offerOf(provider), ...Object.fromEntries(negotiable), ...(previous ? provider.wants : {}) },
      constraints: '()',
      proposalId: id('R'),
      issuerId: fakeProviderId(provider.name),
      state: previous ? 'Draft' : 'Initial',
      timestamp: us(),
      prevProposalId: previous,
    }
    proposals.set(proposal.proposalId, { proposal, provider, demandId })
    demands.get(demandId)?.push({ eventType: 'ProposalEvent', eventDate: us(), proposal })
  }
  const partyOf = (provider: FakeProvider) => ({
    issuerId: fakeProviderId(provider.name),
    recipientId: me,
    payeeAddr: '0xpayee',
    payerAddr: '0xpayer',
    paymentPlatform: platform,
    timestamp: us(),
  })
  const usageOf = (activity: FakeActivity) => {
    const seconds = ((activity.endedMs ?? clock.nowMs()) - activity.beganMs) / 1000
    return [seconds, seconds / 2]
  }
  const costOf = (activity: FakeActivity) => {
    const { provider } = activity.contract
    const cost = linearCost(pricingFromProperties(offerOf(provider)), usageOf(activity))
    return (cost * BigInt(Math.round((provider.charges ?? 1) * 1000))) / 1000n
  }
  const sendNote = (activity: FakeActivity) => {
    const { contract } = activity
    if (contract.state !== 'Approved' || activity.endedMs !== undefined) return
    const note: DebitNote = {
      ...partyOf(contract.provider),
      debitNoteId: id('note'),
      previousDebitNoteId: undefined,
      agreementId: contract.id,
      activityId: activity.id,
      totalAmountDue: costOf(activity),
      usageCounterVector: usageOf(activity),
      paymentDueDate: undefined,
      status: 'RECEIVED',
    }
    notes.set(note.debitNoteId, note)
    noteEvents.push({ eventType: 'DebitNoteReceivedEvent', eventDate: us(), debitNoteId: note.debitNoteId })
    clock.setTimer(contract.provider.debitNotesMs ?? 0, () => sendNote(activity))
  }
  const sendInvoice = (contract: Contract) => {
    const { activity, provider } = contract
    if (!activity || provider.invoices === 'never') return
    const invoice: Invoice = {
      ...partyOf(provider),
      invoiceId: id('invoice'),
      agreementId: contract.id,
      activityIds: [activity.id],
      amount: costOf(activity),
      paymentDueDate: us(),
      status: 'RECEIVED',
    }
    invoices.set(invoice.invoiceId, invoice)
    invoiceEvents.push({ eventType: 'InvoiceReceivedEvent', eventDate: us(), invoiceId: invoice.invoiceId })
  }
  const spend = (allocationId: string, amount: bigint) => {
    const allocation = allocations.get(allocationId)
    if (!allocation) throw refusal(400, 'Allocation not found')
    if (allocation.spent + amount > allocation.total) throw refusal(400, 'Not enough funds')
    allocation.spent += amount
  }
  const contractOf = (agreementId: string) => {
    const contract = contracts.get(agreementId)
    if (!contract) throw refusal(404, 'no such agreement')
    return contract
  }
  const activityOf = (activityId: string) => {
    const activity = activities.get(activityId)
    if (!activity || activity.endedMs !== undefined) throw refusal(404, 'no such activity')
    return activity
  }
  const batchOf = (activityId: string, batchId: string) => {
    const batch = activities.get(activityId)?.batches.get(batchId)
    if (!batch) throw refusal(404, 'no such batch')
    return batch
  }
  const getResults = async (given: {
    params: { activityId: string; batchId: string }
    signal?: AbortSignal | undefined
  }) => {
    const batch = batchOf(given.params.activityId, given.params.batchId)
    while (!batch.isDone) {
      given.signal?.throwIfAborted()
      if (activityOf(given.params.activityId).diedOf !== undefined) throw refusal(500, 'endpoint address not found')
      await Promise.race([batch.changed.promise, never(given.signal)])
    }
    return batch.results
  }
  async function* streamResults(given: {
    params: { activityId: string; batchId: string }
    signal?: AbortSignal | undefined
  }) {
    const batch = batchOf(given.params.activityId, given.params.batchId)
    for (let at = 0; ; ) {
      const event = batch.events[at]
      if (event) {
        at++
        yield { event: 'runtime', id: String(at), data: event }
      } else if (batch.isDone) return
      else await Promise.race([batch.changed.promise, never(given.signal)])
    }
  }
  const market: DaemonClient['market'] = {
    createDemand: async () => {
      const demandId = id('demand')
      demands.set(demandId, createPoll(clock))
      for (const provider of providers) propose(demandId, provider)
      return demandId
    },
    deleteDemand: async ({ params }) => void demands.delete(params.subscriptionId),
    getDemandEvents: async ({ params, query, signal }) => {
      const feed = demands.get(params.subscriptionId)
      if (!feed) throw refusal(404, 'no such demand')
      return feed.poll(query?.timeout ?? 5, signal)
    },
    counterOfferProposal: async ({ params, body }) => {
      const countered = proposals.get(params.proposalId)
      if (!countered) throw refusal(404, 'no such proposal')
      const { provider, demandId } = countered
      const proposalId = id('R')
      if (provider.answersProposals === 'no') {
        const reason = { message: 'too busy' }
        const event = { eventType: 'ProposalRejectedEvent' as const, eventDate: us(), proposalId, reason }
        clock.setTimer(10, () => demands.get(demandId)?.push(event))
      } else if (provider.answersProposals !== 'never') {
        clock.setTimer(10, () => propose(demandId, provider, proposalId, body.properties))
      }
      return proposalId
    },
    rejectOfferProposal: async () => undefined,
    createAgreement: async ({ body }) => {
      const found = proposals.get(body.proposalId)
      if (found?.proposal.state !== 'Draft') throw refusal(400, 'not negotiated')
      const agreementId = id('agreement')
      contracts.set(agreementId, {
        id: agreementId,
        provider: found.provider,
        proposal: found.proposal,
        state: 'Proposal',
      })
      return agreementId
    },
    confirmAgreement: async ({ params }) => {
      contractOf(params.agreementId).state = 'Pending'
    },
    waitForApproval: async ({ params, signal }) => {
      const contract = contractOf(params.agreementId)
      if (contract.provider.signs === 'never') await never(signal)
      if (contract.provider.signs === 'no') throw refusal(410, 'Rejected')
      contract.state = 'Approved'
      signed.set(contract.provider.name, (signed.get(contract.provider.name) ?? 0) + 1)
    },
    cancelAgreement: async ({ params }) => {
      const contract = contractOf(params.agreementId)
      if (contract.state === 'Approved') throw refusal(410, 'Approved')
      contract.state = 'Cancelled'
    },
    getAgreement: async ({ params }): Promise<Agreement> => {
      const { id: agreementId, proposal, state } = contractOf(params.agreementId)
      const both = { constraints: '()', timestamp: us() }
      return {
        agreementId,
        demand: { ...both, properties: {}, demandId: 'demand', requestorId: me },
        offer: { ...both, properties: proposal.properties, offerId: 'offer', providerId: proposal.issuerId },
        validTo: us(),
        state,
        timestamp: us(),
        approvedDate: undefined,
        appSessionId: undefined,
        proposedSignature: undefined,
        approvedSignature: undefined,
        committedSignature: undefined,
      }
    },
    terminateAgreement: async ({ params }) => {
      const contract = contractOf(params.agreementId)
      if (clock.nowMs() < cutOffUntilMs) throw refusal(500, 'cannot reach the provider')
      if (contract.state !== 'Approved') throw refusal(410, contract.state)
      contract.state = 'Terminated'
      sendInvoice(contract)
    },
    getAgreementEvents: async (given) => agreementEvents.poll(given?.query?.timeout ?? 5, given?.signal),
  }
  const activity: DaemonClient['activity'] = {
    createActivity: async ({ body, signal }) => {
      const contract = contractOf(typeof body === 'string' ? body : body.agreementId)
      if (contract.provider.createsActivity === 'never') await never(signal)
      if (contract.provider.createsActivity === 'no') throw refusal(500, 'the exe-unit crashed')
      const made: FakeActivity = {
        id: id('activity'),
        contract,
        beganMs: clock.nowMs(),
        files: new Map(),
        batches: new Map(),
        halt: new AbortController(),
      }
      contract.activity = made
      activities.set(made.id, made)
      if (contract.provider.debitNotesMs !== undefined) {
        clock.setTimer(contract.provider.debitNotesMs, () => sendNote(made))
      }
      return { activityId: made.id, credentials: undefined }
    },
    destroyActivity: async ({ params }) => {
      if (clock.nowMs() < cutOffUntilMs) throw refusal(500, 'cannot reach the provider')
      const found = activityOf(params.activityId)
      found.endedMs = clock.nowMs()
      found.halt.abort(new Error('destroyed'))
      return null
    },
    exec: async ({ params, body }) => {
      const found = activityOf(params.activityId)
      const script = JSON.parse(body.text) as ExeScript
      const batchId = id('batch')
      const batch: FakeBatch = { results: [], events: [], isDone: false, changed: Promise.withResolvers() }
      found.batches.set(batchId, batch)
      if (script.some((command) => 'terminate' in command)) {
        found.halt.abort(new Error('terminated'))
        found.halt = new AbortController()
      }
      void runScript({ clock, files }, found, batchId, batch, script)
      return batchId
    },
    getExecResults: Object.assign(getResults, { stream: streamResults }) as DaemonClient['activity']['getExecResults'],
    getState: async ({ params }) => {
      const { diedOf } = activityOf(params.activityId)
      if (diedOf === undefined) return { state: ['Ready', null], reason: undefined, errorMessage: undefined }
      return { state: ['Terminated', null], reason: 'execution error', errorMessage: diedOf }
    },
    getUsage: async ({ params }) => ({
      currentUsage: usageOf(activityOf(params.activityId)),
      timestamp: Math.floor(clock.nowMs() / 1000),
    }),
  }
  const payment: DaemonClient['payment'] = {
    createAllocation: async ({ body }) => {
      const allocationId = id('allocation')
      allocations.set(allocationId, { total: body.totalAmount, spent: 0n })
      return allocationOf(allocationId, body.totalAmount)
    },
    getAllocation: async ({ params }) => {
      const allocation = allocations.get(params.allocationId)
      if (!allocation) throw refusal(404, 'no such allocation')
      return allocationOf(params.allocationId, allocation.total)
    },
    releaseAllocation: async ({ params }) => {
      if (!allocations.delete(params.allocationId)) throw refusal(404, 'no such allocation')
      return null
    },
    getDemandDecorations: async () => ({
      properties: [{ key: `golem.com.payment.platform.${platform}.address`, value: me }],
      constraints: [`(golem.com.payment.platform.${platform}.address=*)`],
    }),
    getDebitNoteEvents: async (given) => noteEvents.poll(given?.query?.timeout ?? 5, given?.signal),
    getDebitNote: async ({ params }) => notes.get(params.debitNoteId) as DebitNote,
    acceptDebitNote: async ({ params, body }) => {
      if (clock.nowMs() < cutOffUntilMs) throw refusal(504, 'cannot reach the provider')
      const note = notes.get(params.debitNoteId) as DebitNote
      const before = accepted.filter((entry) => entry.kind === 'debit-note').at(-1)?.amount ?? 0n
      spend(body.allocationId, note.totalAmountDue - before)
      accepted.push({
        kind: 'debit-note',
        amount: note.totalAmountDue,
        provider: contractOf(note.agreementId).provider.name,
      })
      return null
    },
    getInvoiceEvents: async (given) => invoiceEvents.poll(given?.query?.timeout ?? 5, given?.signal),
    getInvoice: async ({ params }) => {
      if (clock.nowMs() < cutOffUntilMs) throw refusal(500, 'the daemon is starting')
      return invoices.get(params.invoiceId) as Invoice
    },
    acceptInvoice: async ({ params, body }) => {
      if (clock.nowMs() < cutOffUntilMs) throw refusal(504, 'cannot reach the provider')
      const invoice = invoices.get(params.invoiceId) as Invoice
      spend(body.allocationId, 0n)
      invoices.set(params.invoiceId, { ...invoice, status: 'ACCEPTED' })
      accepted.push({
        kind: 'invoice',
        amount: invoice.amount,
        provider: contractOf(invoice.agreementId).provider.name,
      })
      return null
    },
    rejectInvoice: async ({ params, body }) => {
      rejected.push(body.message ?? '')
      invoices.set(params.invoiceId, { ...(invoices.get(params.invoiceId) as Invoice), status: 'REJECTED' })
      return null
    },
    getInvoicePayments: async ({ params }) => payments.get(params.invoiceId) ?? [],
  }
  const allocationOf = (allocationId: string, totalAmount: bigint) => ({
    allocationId,
    address: me,
    paymentPlatform: platform,
    totalAmount,
    spentAmount: 0n,
    remainingAmount: totalAmount,
    timestamp: us(),
    timeout: undefined,
    deposit: undefined,
    createdTs: undefined,
    updatedTs: undefined,
    makeDeposit: false,
    extendTimeout: undefined,
  })
  const published = (url: string, bytes: Uint8Array) => {
    files.set(url, bytes)
    return { url, sha3: 'ab'.repeat(32), sizeBytes: bytes.length }
  }
  const client: DaemonClient = {
    root: { getMe: async () => ({ identity: me, name: 'me', role: 'manager' }) },
    market,
    activity,
    payment,
    emet: {
      files: {
        publish: async ({ body }) => published(`gftp://me/${body.path}`, new TextEncoder().encode(body.path)),
        publishContent: async ({ body }) => {
          const bytes = body as Uint8Array
          return published(`gftp://me/${bytes.length}`, bytes)
        },
        receive: async () => {
          const url = `gftp://me/${id('upload')}`
          files.set(url, new Uint8Array())
          return { url }
        },
        getContent: async ({ query }) => new Blob([files.get(query.url) as Uint8Array<ArrayBuffer>]).stream(),
        close: async ({ query }) => {
          if (!files.delete(query.url)) throw refusal(404, 'no such file')
          return null
        },
      },
      market: {
        listKnownOffers: async () =>
          providers.map((provider) => ({
            properties: offerOf(provider),
            constraints: '()',
            offerId: `offer-${provider.name}`,
            providerId: fakeProviderId(provider.name),
            timestamp: us(),
          })),
      },
    },
  }
  return {
    client,
    accepted,
    rejected,
    signed,
    open: () => ({
      demands: demands.size,
      agreements: [...contracts.values()].filter(({ state }) => state === 'Approved' || state === 'Pending').length,
      activities: [...activities.values()].filter(({ endedMs }) => endedMs === undefined).length,
      allocations: allocations.size,
      files: files.size,
    }),
    cutOffFor: (ms) => {
      cutOffUntilMs = clock.nowMs() + ms
    },
    crash: (name, why) => {
      for (const activity of activities.values()) {
        if (activity.contract.provider.name !== name) continue
        activity.diedOf = why
        for (const batch of activity.batches.values()) {
          batch.changed.resolve()
          batch.changed = Promise.withResolvers()
        }
      }
    },
    terminateBy: (name, message) => {
      for (const contract of contracts.values()) {
        if (contract.provider.name !== name || contract.state !== 'Approved') continue
        contract.state = 'Terminated'
        if (contract.activity) contract.activity.endedMs = clock.nowMs()
        const event = {
          eventDate: us(),
          agreementId: contract.id,
          reason: { message },
          terminator: 'Provider' as const,
        }
        agreementEvents.push({ eventType: 'AgreementTerminatedEvent', signature: '', ...event })
        sendInvoice(contract)
      }
    },
    pay: () => {
      for (const invoice of invoices.values()) {
        if (invoice.status !== 'ACCEPTED') continue
        const payment: SignedPayment = {
          paymentId: id('payment'),
          payerId: me,
          payeeId: invoice.issuerId,
          payerAddr: invoice.payerAddr,
          payeeAddr: invoice.payeeAddr,
          paymentPlatform: platform,
          amount: invoice.amount,
          timestamp: us(),
          agreementPayments: [{ agreementId: invoice.agreementId, amount: invoice.amount, allocationId: undefined }],
          activityPayments: [],
          details: new Uint8Array(32).fill(0xcd),
          signature: undefined,
          signedBytes: undefined,
        }
        payments.set(invoice.invoiceId, [payment])
      }
    },
  }
}
