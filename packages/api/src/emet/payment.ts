/** Balances, funding and payment networks. */
import { amountSchema, instantSchema, maybe, nullable, shortTextSchema } from '@emet/core'
import { z } from 'zod'
import { defineApi } from '../route.ts'
import { EMET_BASE, malformed } from './shared.ts'

const totalsSchema = z.object({ totalAmount: amountSchema, agreementsCount: z.int().min(0) })
const flowSchema = z.object({ requested: totalsSchema, accepted: totalsSchema, confirmed: totalsSchema })
const paymentStatusSchema = z
  .object({
    driver: z.string(),
    network: z.string(),
    token: z.string(),
    platform: z.string(),
    address: z.string(),
    amount: amountSchema.describe('Balance of the token'),
    reserved: amountSchema.describe('Remaining amounts of unreleased allocations'),
    gas: nullable(z.object({ currencyShortName: z.string(), balance: amountSchema })),
    incoming: flowSchema,
    outgoing: flowSchema,
    blockNumber: nullable(z.int().min(0)),
    blockTime: nullable(instantSchema),
  })
  .meta({ id: 'PaymentStatus' })
export type PaymentStatusDocument = z.output<typeof paymentStatusSchema>

const paymentNetworkSchema = z
  .object({
    driver: z.string(),
    network: z.string(),
    chainId: z.int().min(0),
    token: z.string(),
    tokenAddress: z.string(),
    platform: z.string(),
    isTestnet: z.boolean(),
    canFund: z.boolean(),
  })
  .meta({ id: 'PaymentNetwork' })
export type PaymentNetworkDocument = z.output<typeof paymentNetworkSchema>

export const emetPaymentApi = defineApi({
  base: EMET_BASE,
  tag: 'emet: payment',
  description: 'Balances, funding and payment networks',
  malformed,
  routes: {
    getStatus: {
      method: 'GET',
      path: '/payment/status',
      summary: 'Balances, reserved funds, and what is requested, accepted and confirmed both ways',
      query: z.object({
        network: maybe(shortTextSchema),
        driver: maybe(shortTextSchema),
        after: maybe(instantSchema).describe('Counts documents made after this instant only'),
      }),
      success: { status: 200, body: paymentStatusSchema },
      errors: [400, 404, 502],
    },
    fund: {
      method: 'POST',
      path: '/payment/fund',
      summary: 'Gets test tokens and gas from the faucet of a test network',
      body: z.object({ network: maybe(shortTextSchema), driver: maybe(shortTextSchema) }),
      success: {
        status: 200,
        body: z.object({ message: z.string(), transactions: z.array(z.string()) }),
      },
      errors: [400, 404, 502, 504],
    },
    listNetworks: {
      method: 'GET',
      path: '/payment/networks',
      summary: 'The payment networks this node can use',
      success: { status: 200, body: z.array(paymentNetworkSchema) },
      errors: [],
    },
  },
})
