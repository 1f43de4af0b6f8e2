import { activityApi } from './activity.ts'
import {
  emetActivityApi,
  emetFilesApi,
  emetIdentityApi,
  emetMarketApi,
  emetNetApi,
  emetNodeApi,
  emetPaymentApi,
} from './emet/index.ts'
import { gsbApi } from './gsb.ts'
import { marketApi } from './market.ts'
import { netApi } from './net.ts'
import { paymentApi } from './payment.ts'
import { rootApi } from './root.ts'
import type { Api } from './route.ts'

/** Every API of the contract. */
export const allApis: readonly Api[] = [
  rootApi,
  marketApi,
  activityApi,
  paymentApi,
  netApi,
  gsbApi,
  emetIdentityApi,
  emetNetApi,
  emetFilesApi,
  emetPaymentApi,
  emetMarketApi,
  emetActivityApi,
  emetNodeApi,
]
