import { nodeId } from '@emet/core'
import type { Machine } from '../hardware.ts'

export const PROVIDER_ID = nodeId(`0x${'aa'.repeat(20)}`)
export const REQUESTOR_ID = nodeId(`0x${'bb'.repeat(20)}`)
export const PLATFORM = 'erc20-hoodi-tglm'

export const TEST_MACHINE: Machine = {
  architecture: 'x86_64',
  cpuBrand: 'Test',
  cpuVendor: 'Test',
  cpuCores: 4,
  cpuThreads: 8,
  memGib: 16,
  freeStorageGib: 100,
}
