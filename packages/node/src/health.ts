import type { Net } from '@emet/net'
import type { PaymentService } from './payment/index.ts'
import { type HealthCheck, HealthProblem } from './rest/index.ts'

export type HealthDeps = {
  readonly payment: { readonly accounts: Pick<PaymentService['accounts'], 'driverStatus'> }
  readonly net: Pick<Net, 'status'>
  /** Whether this node was told of peers to start from; one without any may well be alone. */
  readonly expectsPeers: boolean
}

/** What `/healthcheck` looks at, in this order. Golem wire: spec/rest-api.md §2.2. */
export function healthChecks({ payment, net, expectsPeers }: HealthDeps): HealthCheck[] {
  const payments: HealthCheck = async () => {
    const problems = (payment.accounts.driverStatus({}) ?? []).map((status) => JSON.stringify(status))
    if (problems.length === 0) return
    const message = 'payments are held up; see `emet payment status`'
    throw new HealthProblem('/healthcheck/payment-driver-errors', 'payments-check', message, { problems })
  }
  const relay: HealthCheck = async () => {
    if (!expectsPeers || net.status().sessions > 0) return
    const message =
      'no peer is connected; see `emet net peers`, and whether the relays of --net-bootstrap can be reached'
    throw new HealthProblem('/healthcheck/internal-error/net-service-error', 'relay-check', message)
  }
  return [payments, relay]
}
