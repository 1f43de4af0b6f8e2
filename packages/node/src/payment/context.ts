import type { InstantUs, NodeId } from '@emet/core'
import { randomUuid } from '@emet/core'
import type { Background } from './background.ts'
import type { PaymentDriver } from './drivers/types.ts'
import { PaymentError } from './errors.ts'
import type { Feed } from './feed.ts'
import type { PaymentOptions } from './options.ts'
import { findPlatform } from './platform.ts'
import type { PaymentStore } from './store.ts'
import type { PaymentDeps } from './types.ts'

/** What every part of the module works with. */
export type Context = {
  readonly deps: PaymentDeps
  readonly options: PaymentOptions
  readonly store: PaymentStore
  readonly feed: Feed
  readonly background: Background
}

export const nowUs = ({ deps }: Context): InstantUs => Math.round(deps.clock.nowMs() * 1000)

export const newId = ({ deps }: Context): string => randomUuid(deps.random)

/** The driver of a platform. Throws `PaymentError` `bad-platform`. */
export function driverOf({ deps }: Context, platform: string): PaymentDriver {
  const found = findPlatform(deps.drivers, platform)
  if (found) return found.driver
  throw new PaymentError('bad-platform', `no payment driver of this node serves the platform ${platform}`, { platform })
}

/** True when `id` is an (unlocked) identity of this node. */
export const isOurs = ({ deps }: Context, id: NodeId): boolean => deps.signer.ids().includes(id)
