import type { NodeId } from '@emet/core'

export type LedgerTransfer = {
  readonly hash: string
  readonly platform: string
  readonly payer: NodeId
  readonly payee: NodeId
  readonly amountWei: bigint
  readonly logIndex: number
  readonly blockNumber: number
  readonly timeMs: number
}

/** What all mock drivers of a test agree on. Each transaction is a block. */
export interface MockLedger {
  credit(address: NodeId, platform: string, amountWei: bigint): void
  balance(address: NodeId, platform: string): bigint
  /** Moves all or nothing; undefined when the payer has too little. Returns the transaction's hash. */
  move(
    payer: NodeId,
    platform: string,
    items: readonly { payee: NodeId; amountWei: bigint }[],
    timeMs: number,
  ): LedgerTransfer[] | undefined
  transfers(hash: string): readonly LedgerTransfer[]
  /** As a reorganisation does: the transaction is gone, and the money is back. */
  forget(hash: string): void
  readonly height: number
}

export function createMockLedger(): MockLedger {
  const balances = new Map<string, bigint>()
  const blocks = new Map<string, LedgerTransfer[]>()
  let height = 0
  const key = (address: string, platform: string) => `${platform} ${address}`
  const balance = (address: string, platform: string) => balances.get(key(address, platform)) ?? 0n
  const add = (address: string, platform: string, amountWei: bigint) =>
    void balances.set(key(address, platform), balance(address, platform) + amountWei)

  return {
    credit: add,
    balance,
    transfers: (hash) => blocks.get(hash) ?? [],
    forget: (hash) => {
      for (const transfer of blocks.get(hash) ?? []) {
        add(transfer.payer, transfer.platform, transfer.amountWei)
        add(transfer.payee, transfer.platform, -transfer.amountWei)
      }
      blocks.delete(hash)
    },
    move: (payer, platform, items, timeMs) => {
      const total = items.reduce((sum, item) => sum + item.amountWei, 0n)
      if (balance(payer, platform) < total) return undefined
      const blockNumber = ++height
      const hash = `0x${blockNumber.toString(16).padStart(64, '0')}`
      const transfers = items.map((item, logIndex) => {
        add(payer, platform, -item.amountWei)
        add(item.payee, platform, item.amountWei)
        return { ...item, hash, platform, payer, logIndex, blockNumber, timeMs }
      })
      blocks.set(hash, transfers)
      return transfers
    },
    get height() {
      return height
    },
  }
}
