/** Commands that ask the daemon and print the answer. */
import { formatAmount, formatInstant, type InstantUs, parseNodeId } from '@emet/core'
import { CliError } from '../errors.ts'
import type { Action, CommandContext } from './context.ts'

const day = (instant: InstantUs | undefined | null) =>
  instant ? formatInstant(instant).slice(0, 19).replace('T', ' ') : ''
const short = (id: string) => (id.length > 20 ? `${id.slice(0, 16)}…` : id)
const limitOf = (flags: Readonly<Record<string, unknown>>): number => Number(flags['last'] ?? 50)

/** Prints records: all fields as JSON, some of them as a table. */
function list<T extends object>(
  context: CommandContext,
  rows: readonly T[],
  columns: (row: T) => Record<string, unknown>,
): void {
  context.output.table(context.output.isJson ? (rows as readonly Record<string, unknown>[]) : rows.map(columns))
}

export const status: Action = async ({ client, output, signal }) => {
  const [node, health, payments] = await Promise.all([
    client().emet.node.getStatus({ signal }),
    client()
      .root.getHealth({ signal })
      .then(
        () => 'ok',
        (error: Error) => error.message,
      ),
    client().payment.getDriverStatus({ query: {}, signal }),
  ])
  const waiting = payments.length === 0 ? 'nothing' : payments.map(({ kind }) => kind).join(', ')
  output.record({ ...node, startedAt: day(node.startedAt), health, paymentsHeldUpBy: waiting })
}

export const marketOffers: Action = async (context, _args, flags) => {
  const { client, signal } = context
  const query = { maxItems: limitOf(flags), constraints: flags['constraints'] as string | undefined }
  list(context, await client().emet.market.listKnownOffers({ query, signal }), (offer) => ({
    offer: short(offer.offerId),
    provider: offer.providerId,
    name: offer.properties['golem.node.id.name'],
    runtime: offer.properties['golem.runtime.name'],
    threads: offer.properties['golem.inf.cpu.threads'],
    memGib: offer.properties['golem.inf.mem.gib'],
    published: day(offer.timestamp),
  }))
}

export const marketDemands: Action = async (context) => {
  const { client, signal } = context
  list(context, await client().market.listDemands({ signal }), (demand) => ({
    demand: demand.demandId,
    published: day(demand.timestamp),
    constraints: demand.constraints.replace(/\s+/g, ' ').slice(0, 100),
  }))
}

export const marketAgreements: Action = async (context, _args, flags) => {
  const { client, signal } = context
  const state = flags['state'] as 'Approved' | undefined
  list(context, await client().market.listAgreements({ query: { state }, signal }), (agreement) => ({
    agreement: agreement.id,
    role: agreement.role,
    made: day(agreement.timestamp),
    approved: day(agreement.approvedDate),
  }))
}

export const marketExplain: Action = async ({ client, output, signal }, [demandId = '']) => {
  const explanation = await client().emet.market.explain({ params: { demandId }, signal })
  if (output.isJson) return output.record(explanation)
  output.table(explanation.steps)
  if (explanation.reasons.length === 0) return
  output.line('')
  output.table(explanation.reasons.map(({ step, message, offers }) => ({ step, offers, message })))
}

export const activities: Action = async (context, _args, flags) => {
  const { client, signal } = context
  const query = { maxItems: limitOf(flags), alive: flags['alive'] === true ? true : undefined }
  list(context, await client().emet.activity.list({ query, signal }), (activity) => ({
    activity: activity.activityId,
    role: activity.role,
    state: activity.state[0],
    peer: activity.peerId,
    created: day(activity.createdAt),
    reason: activity.reason,
  }))
}

export const netStatus: Action = async ({ client, output, signal }) => {
  output.record(await client().emet.net.getStatus({ signal }))
}

export const netPeers: Action = async (context) => {
  const { client, signal } = context
  list(context, await client().emet.net.listPeers({ signal }), (peer) => ({
    peer: peer.nodeId,
    state: peer.state,
    path: peer.path,
    roles: peer.roles,
    ms: peer.roundTripMs?.toFixed(1),
    endpoint: peer.endpoint,
  }))
}

export const netConnect: Action = async ({ client, output, signal }, [target = '']) => {
  const peer = await client().emet.net.connect({ body: { target }, signal })
  output.done(`connected to ${peer.nodeId} (${peer.path})`, peer)
}

export const netDisconnect: Action = async ({ client, output, signal }, [nodeId = '']) => {
  await client().emet.net.disconnect({ params: { nodeId: requireNodeId(nodeId) }, signal })
  output.done(`disconnected from ${nodeId}`)
}

export const paymentStatus: Action = async ({ client, output, signal }, _args, flags) => {
  const network = flags['network'] as string | undefined
  const { incoming, outgoing, gas, blockTime, ...rest } = await client().emet.payment.getStatus({
    query: { network },
    signal,
  })
  if (output.isJson) return output.record({ ...rest, gas, incoming, outgoing, blockTime })
  const glm = (amount: bigint) => `${formatAmount(amount)} ${rest.token}`
  output.record({
    network: rest.network,
    platform: rest.platform,
    account: rest.address,
    balance: glm(rest.amount),
    reserved: glm(rest.reserved),
    gas: gas ? `${formatAmount(gas.balance)} ${gas.currencyShortName}` : '',
    'to pay': `${glm(outgoing.accepted.totalAmount)} accepted, ${glm(outgoing.confirmed.totalAmount)} paid`,
    'to receive': `${glm(incoming.accepted.totalAmount)} accepted, ${glm(incoming.confirmed.totalAmount)} received`,
  })
}

export const paymentNetworks: Action = async (context) => {
  list(context, await context.client().emet.payment.listNetworks({ signal: context.signal }), (network) => network)
}

export const paymentFund: Action = async ({ client, output, signal }, _args, flags) => {
  const network = flags['network'] as string | undefined
  const { message, ...rest } = await client().emet.payment.fund({ body: { network }, signal })
  output.done(message, { message, ...rest })
}

export const paymentAllocations: Action = async (context) => {
  const { client, signal } = context
  list(context, await client().payment.listAllocations({ query: {}, signal }), (allocation) => ({
    allocation: allocation.allocationId,
    platform: allocation.paymentPlatform,
    total: formatAmount(allocation.totalAmount),
    spent: formatAmount(allocation.spentAmount),
    remaining: formatAmount(allocation.remainingAmount),
    until: day(allocation.timeout),
  }))
}

export const paymentInvoices: Action = async (context) => {
  const { client, signal } = context
  list(context, await client().payment.listInvoices({ query: {}, signal }), (invoice) => ({
    invoice: invoice.invoiceId,
    agreement: short(invoice.agreementId),
    issuer: short(invoice.issuerId),
    recipient: short(invoice.recipientId),
    amount: formatAmount(invoice.amount),
    status: invoice.status,
    made: day(invoice.timestamp),
  }))
}

export const paymentDebitNotes: Action = async (context) => {
  const { client, signal } = context
  list(context, await client().payment.listDebitNotes({ query: {}, signal }), (note) => ({
    debitNote: note.debitNoteId,
    activity: short(note.activityId),
    due: formatAmount(note.totalAmountDue),
    status: note.status,
    payBy: day(note.paymentDueDate),
    made: day(note.timestamp),
  }))
}

export const paymentPayments: Action = async (context) => {
  const { client, signal } = context
  list(context, await client().payment.listPayments({ query: { timeout: 0 }, signal }), (payment) => ({
    payment: payment.paymentId,
    payer: short(payment.payerId),
    payee: short(payment.payeeId),
    platform: payment.paymentPlatform,
    amount: formatAmount(payment.amount),
    made: day(payment.timestamp),
  }))
}

export const configShow: Action = async ({ settings, output }) => {
  const hidden = new Set(['autoconfSecret', 'autoconfAppKey', 'appKey'])
  const rows = Object.entries(settings.values).map(([name, value]) => ({
    setting: name,
    value: hidden.has(name) && value !== '' ? '(set)' : value,
    from: settings.sources[name as keyof typeof settings.sources],
  }))
  output.table(rows)
}

export function requireNodeId(text: string) {
  const id = parseNodeId(text)
  if (!id) throw new CliError('bad-argument', `${JSON.stringify(text)} is not a node id (0x and 40 hex digits)`)
  return id
}
