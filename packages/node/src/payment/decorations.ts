import type { MarketDecoration } from '@emet/core'
import type { AllocationRecord } from './records.ts'

const PROTOCOL_VERSION = 'golem.com.payment.protocol.version'

/** Golem REST: what a demand must say. The texts are exact: clients take them apart. */
export function decorationsOf(
  allocations: readonly Pick<AllocationRecord, 'platform' | 'address' | 'deposit'>[],
): MarketDecoration {
  const addressKey = (platform: string) => `golem.com.payment.platform.${platform}.address`
  const clauses = allocations.map(({ platform }) => `(${addressKey(platform)}=*)`)
  const hasDeposit = allocations.some(({ deposit }) => deposit !== undefined)
  return {
    properties: [
      ...allocations.map(({ platform, address }) => ({ key: addressKey(platform), value: address as string })),
      { key: PROTOCOL_VERSION, value: '3' },
    ],
    constraints: [
      clauses.length === 1 ? clauses.join('') : `(|\n${clauses.map((clause) => `  ${clause}\n`).join('')})`,
      `(${PROTOCOL_VERSION}>${hasDeposit ? 2 : 1})`,
    ],
  }
}
