/** Scenes for the driver's tests: accounts, databases and drivers, over any chain. */
import { type Clock, type NodeId, nodeId, silentLogger, systemClock, systemRandom } from '@emet/core'
import { privateKeyToAddress } from 'viem/accounts'
import { type Database, openDatabase } from '../../../store/index.ts'
import type { Chain } from '../../chain/index.ts'
import type { PaymentDriver } from '../types.ts'
import { createErc20Driver } from './driver.ts'
import type { Erc20Network } from './networks.ts'
import type { Erc20Options } from './options.ts'

export type TestAccount = { readonly address: NodeId; readonly privateKey: Uint8Array }

/** The same account for the same number. */
export function testAccount(number: number): TestAccount {
  const hex = `0x${(BigInt(number) + 0xe3e7_0000n).toString(16).padStart(64, '0')}` as const
  return { address: nodeId(privateKeyToAddress(hex)), privateKey: Uint8Array.from(Buffer.from(hex.slice(2), 'hex')) }
}

/** An address that nobody has the key of. */
export const testPayee = (number: number): NodeId => nodeId(`0x${(0xabc_0000 + number).toString(16).padStart(40, '0')}`)

export const tokens = (amount: number) => BigInt(Math.round(amount * 1e6)) * 10n ** 12n

export type TestDriverOptions = {
  readonly network: Erc20Network
  readonly accounts: readonly TestAccount[]
  readonly db?: Database
  readonly clock?: Clock
  readonly openChain?: () => Chain
  readonly options?: Partial<Erc20Options>
}

/** A driver with short intervals on one network. */
export function createTestDriver(test: TestDriverOptions): PaymentDriver {
  const keys = new Map(test.accounts.map((account) => [account.address, account.privateKey]))
  return createErc20Driver(
    {
      db: test.db ?? openDatabase({ path: ':memory:' }),
      clock: test.clock ?? systemClock,
      random: systemRandom,
      log: silentLogger,
      fetch,
      privateKey: (id) => {
        const key = keys.get(id)
        if (!key) throw new Error('locked')
        return key
      },
      ...(test.openChain && { openChain: test.openChain }),
    },
    {
      networks: [test.network],
      defaultNetwork: test.network.name,
      gatherMs: 20,
      pollMs: 20,
      retryMinMs: 20,
      retryMaxMs: 200,
      ...test.options,
    },
  )
}
