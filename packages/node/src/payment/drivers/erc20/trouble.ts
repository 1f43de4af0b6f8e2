/** What keeps an account from paying for now. Nothing is lost meanwhile: the work is done when it has gone. */
import { formatAmount } from '@emet/core'
import type { DriverStatus } from '../types.ts'

export type TroubleKind = 'gas' | 'token' | 'key' | 'stuck' | 'rpc' | 'wrong-chain'

export class Trouble extends Error {
  readonly kind: TroubleKind
  /** How much is missing, for `gas` and `token`. */
  readonly neededWei: bigint
  constructor(kind: TroubleKind, message: string, neededWei = 0n, options: { cause?: unknown } = {}) {
    super(message, options)
    this.name = 'Trouble'
    this.kind = kind
    this.neededWei = neededWei
  }
}

export type TroubleScene = {
  readonly driver: string
  readonly network: string
  readonly chainId: number
  readonly address: string
  readonly tokenDecimals: number
}

/** As `status()` and REST show it. */
export function toStatus(trouble: Trouble, scene: TroubleScene): DriverStatus {
  const { driver, network, address } = scene
  switch (trouble.kind) {
    case 'gas':
      return { kind: 'InsufficientGas', driver, network, address, neededGasEst: formatAmount(trouble.neededWei) }
    case 'token': {
      const neededTokenEst = formatAmount(trouble.neededWei, scene.tokenDecimals)
      return { kind: 'InsufficientToken', driver, network, address, neededTokenEst }
    }
    case 'key':
      return { kind: 'CantSign', driver, network, address }
    case 'stuck':
      return { kind: 'TxStuck', driver, network }
    case 'rpc':
      return { kind: 'RpcError', driver, network }
    case 'wrong-chain':
      return { kind: 'InvalidChainId', driver, chainId: scene.chainId }
  }
}
