/** What every payment driver must do, whatever ledger it pays on. Run against each implementation. */
import type { NodeId } from '@emet/core'
import { beforeEach, describe, expect, test } from 'vitest'
import type { PaymentDriver, Settlement } from './types.ts'

/** A payer with 1000 tokens and gas, and a started driver that pays for it. */
export type DriverScene = {
  readonly driver: PaymentDriver
  readonly platform: string
  readonly payer: NodeId
  readonly payees: readonly [NodeId, NodeId]
  /** Lets time pass until the condition holds; rejects when it never does. */
  run(isDone: () => boolean): Promise<void>
  nowMs(): number
}

const UNIT = 10n ** 18n
const HOUR_MS = 3_600_000

/** `createScene` makes a fresh one; it stops its driver by itself after the test. */
export function describeDriver(name: string, createScene: () => Promise<DriverScene>): void {
  let scene: DriverScene
  let driver: PaymentDriver
  let settled: Settlement[]
  beforeEach(async () => {
    scene = await createScene()
    driver = scene.driver
    settled = []
    driver.onSettled((settlement) => void settled.push(settlement))
  })
  const order = (paymentOrderId: string, change: { payee?: NodeId; amountWei?: bigint; dueMs?: number } = {}) => ({
    paymentOrderId,
    payer: scene.payer,
    payee: scene.payees[0],
    platform: scene.platform,
    amountWei: UNIT,
    dueMs: scene.nowMs(),
    ...change,
  })
  const ordersSettled = () => settled.flatMap((settlement) => settlement.paymentOrderIds).sort()

  describe(`${name} as a payment driver`, () => {
    test('describes its networks: one default, platforms named driver-network-token', () => {
      const networks = driver.networks()
      expect(networks.filter((network) => network.isDefault)).toHaveLength(1)
      for (const network of networks) {
        expect(network.name).toMatch(/^[a-z0-9]+$/)
        for (const token of network.tokens) {
          expect(token.platform).toBe(`${driver.name}-${network.name}-${token.symbol.toLowerCase()}`)
        }
      }
      expect(networks.flatMap((network) => network.tokens.map((token) => token.platform))).toContain(scene.platform)
    })

    test('pays an order, and the settlement proves it to the payee', async () => {
      driver.schedule(order('a'))
      await scene.run(() => settled.length === 1)
      expect(settled[0]).toMatchObject({ paymentOrderIds: ['a'], amountWei: UNIT, payee: scene.payees[0] })
      expect(driver.order('a')).toMatchObject({ kind: 'settled', settlement: settled[0] })
      expect(await driver.verify({ ...(settled[0] as Settlement) })).toMatchObject({
        kind: 'confirmed',
        amountWei: UNIT,
      })
      expect((await driver.balance(scene.payees[0], scene.platform)).tokenWei).toBe(UNIT)
      expect((await driver.balance(scene.payer, scene.platform)).tokenWei).toBe(999n * UNIT)
    })

    test('schedules the same order once, and refuses another under its id', async () => {
      driver.schedule(order('a'))
      driver.schedule(order('a'))
      await scene.run(() => settled.length === 1)
      driver.schedule(order('a'))
      expect(() => driver.schedule(order('a', { amountWei: 2n }))).toThrow(
        expect.objectContaining({ code: 'order-conflict' }),
      )
      driver.schedule(order('b'))
      await scene.run(() => settled.length === 2)
      expect((await driver.balance(scene.payees[0], scene.platform)).tokenWei).toBe(2n * UNIT)
    })

    test('adds up what is due to the same payee, and keeps payees apart', async () => {
      driver.schedule(order('a'))
      driver.schedule(order('b', { amountWei: 2n * UNIT }))
      driver.schedule(order('c', { payee: scene.payees[1] }))
      await scene.run(() => ordersSettled().length === 3)
      expect(settled.map((each) => [each.payee, each.amountWei])).toEqual([
        [scene.payees[0], 3n * UNIT],
        [scene.payees[1], UNIT],
      ])
    })

    test('keeps an order until it is due, counts it as scheduled, and flush hastens it', async () => {
      driver.schedule(order('later', { dueMs: scene.nowMs() + HOUR_MS }))
      expect(driver.order('later')).toMatchObject({ kind: 'queued' })
      const request = { address: scene.payer, platform: scene.platform, reservedWei: 900n * UNIT }
      expect(await driver.checkFunds({ ...request, amountWei: 99n * UNIT })).toMatchObject({
        isEnough: true,
        availableWei: 99n * UNIT,
        scheduledWei: UNIT,
      })
      expect(await driver.checkFunds({ ...request, amountWei: 100n * UNIT })).toMatchObject({ isEnough: false })
      driver.flush(scene.platform)
      await scene.run(() => settled.length === 1)
    })

    test('an order beyond the balance waits and is reported', async () => {
      const statuses: string[][] = []
      driver.onStatusChanged((status) => void statuses.push(status.map((item) => item.kind)))
      driver.schedule(order('big', { amountWei: 1500n * UNIT }))
      await scene.run(() => driver.status().length > 0)
      expect(driver.status()).toEqual([expect.objectContaining({ kind: 'InsufficientToken', address: scene.payer })])
      expect(statuses).toEqual([['InsufficientToken']])
      expect(driver.status('elsewhere')).toEqual([])
      expect(driver.order('big')).toMatchObject({ kind: 'queued' })
      expect(settled).toEqual([])
    })

    test('refuses orders that break a rule, and changes nothing', () => {
      const zero = `0x${'0'.repeat(40)}` as NodeId
      const bad = [
        { amountWei: 0n },
        { amountWei: -1n },
        { amountWei: 2n ** 96n },
        { payee: zero },
        { dueMs: Number.NaN },
      ]
      for (const change of bad) {
        expect(() => driver.schedule(order('bad', change))).toThrow(expect.objectContaining({ code: 'bad-request' }))
      }
      const unknown = { ...order('bad'), platform: `${driver.name}-nowhere-glm` }
      expect(() => driver.schedule(unknown)).toThrow(expect.objectContaining({ code: 'unknown-platform' }))
      expect(() => driver.schedule(order('x'.repeat(129)))).toThrow(expect.objectContaining({ code: 'bad-request' }))
      expect(driver.order('bad')).toBeUndefined()
    })

    test('verification refuses another payer, another payee, more than was paid, and what is no confirmation', async () => {
      driver.schedule(order('a'))
      await scene.run(() => settled.length === 1)
      const good = settled[0] as Settlement
      const judge = async (change: object) => driver.verify({ ...good, ...change })
      expect(await judge({ payer: scene.payees[1] })).toMatchObject({ kind: 'refused', reason: 'wrong-payer' })
      expect(await judge({ payee: scene.payees[1] })).toMatchObject({ kind: 'refused', reason: 'no-transfer' })
      expect(await judge({ amountWei: UNIT + 1n })).toMatchObject({ kind: 'refused', reason: 'too-small' })
      expect(await judge({ confirmation: new Uint8Array(5) })).toMatchObject({ kind: 'refused', reason: 'malformed' })
      expect(await judge({ confirmation: new Uint8Array(32) })).toMatchObject({ kind: 'pending', reason: 'not-found' })
    })

    test('a transfer can be claimed up to its amount, whoever asks in whatever order', async () => {
      driver.schedule(order('a'))
      await scene.run(() => settled.length === 1)
      const transfer = await driver.verify({ ...(settled[0] as Settlement) })
      if (transfer.kind !== 'confirmed') throw new Error('not confirmed')
      driver.claim({ paymentId: 'p', amountWei: UNIT - 1n, transfer })
      driver.claim({ paymentId: 'p', amountWei: UNIT - 1n, transfer })
      expect(() => driver.claim({ paymentId: 'q', amountWei: 2n, transfer })).toThrow(
        expect.objectContaining({ code: 'already-claimed' }),
      )
      driver.claim({ paymentId: 'q', amountWei: 1n, transfer })
      expect(await driver.verify({ ...(settled[0] as Settlement) })).toMatchObject({ reason: 'already-claimed' })
      driver.release('p')
      expect(await driver.verify({ ...(settled[0] as Settlement), amountWei: UNIT - 1n })).toMatchObject({
        kind: 'confirmed',
      })
    })

    test('stopping twice is harmless', async () => {
      await driver.stop()
      await driver.stop()
    })
  })
}
