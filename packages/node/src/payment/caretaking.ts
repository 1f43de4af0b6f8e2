/** What goes on by itself: asking payers for news at start, telling of trouble with drivers, removing what is old. */
import { messageOf } from '@emet/core'
import { createAlarm } from './background.ts'
import { announce } from './book.ts'
import { type Context, nowUs } from './context.ts'
import type { DriverStatus, PaymentDriver } from './drivers/types.ts'
import type { PeerClient } from './peer-client.ts'

export interface Caretaking {
  resume(): void
  onDriverStatus(driver: PaymentDriver, status: readonly DriverStatus[]): void
  stop(): void
}

export function createCaretaking(context: Context, client: PeerClient): Caretaking {
  const { store, deps, options, background } = context
  const logger = deps.logger.child({ part: 'caretaking' })
  /** Trouble told of already, by network. */
  const told = new Map<string, string>()
  const alarm = createAlarm(deps.clock, () => cleanUp())

  /** Payers of unsettled documents may have news that never reached us. */
  const askPayers = async (signal: AbortSignal) => {
    for (const { owner, peerId } of store.documents.unsettledPayers()) {
      try {
        await client.askForSync(owner, peerId, { timeoutMs: options.syncTimeoutMs, signal })
      } catch (error) {
        if (signal.aborted) return
        logger.debug('a payer could not be asked for news', { peerId, error: messageOf(error) })
      }
      await deps.clock.sleep(options.syncNeededPauseMs, signal)
    }
  }
  const cleanUp = () => {
    const atUs = nowUs(context)
    const events = store.events.dropBefore(atUs - options.eventRetentionMs * 1000)
    const documents = store.documents.dropFinished(atUs - options.documentRetentionMs * 1000)
    if (events + documents > 0) logger.info('old records were removed', { events, documents })
    alarm.set(deps.clock.nowMs() + options.cleanUpIntervalMs)
  }
  const tell = (driver: PaymentDriver, network: DriverNetworkKey, trouble: readonly DriverStatus[]) => {
    const platforms = network.platforms
    const waiting = store.documents
      .withStatus('ACCEPTED', 'requestor')
      .filter(({ platform }) => platforms.includes(platform))
    logger.warn('a payment driver changed its state', { driver: driver.name, network: network.name, trouble })
    store.transaction(() => {
      for (const document of waiting) {
        if (trouble.length === 0) announce(context, document, 'PAYMENT_OK')
        for (const property of trouble) announce(context, document, 'PAYMENT_EVENT', property)
      }
    })
  }

  return {
    resume: () => {
      cleanUp()
      background.spawn('ask payers for news', askPayers)
    },
    onDriverStatus: (driver, status) => {
      for (const { name, tokens } of driver.networks()) {
        const trouble = status.filter((item) => !('network' in item) || item.network === name)
        const key = `${driver.name} ${name}`
        const text = JSON.stringify(trouble)
        if ((told.get(key) ?? '[]') === text) continue
        told.set(key, text)
        tell(driver, { name, platforms: tokens.map(({ platform }) => platform) }, trouble)
      }
    },
    stop: () => alarm.set(undefined),
  }
}

type DriverNetworkKey = { readonly name: string; readonly platforms: readonly string[] }
