/** How a provider isolates programs: bubblewrap where it works; in memory only where that was allowed. */
import { type ExeUnitDescriptor, wasmDescriptor } from '@emet/exe-unit/protocol'

export type IsolationRequest = {
  readonly node: string
  readonly allowInMemory: boolean
  /** Whether programs really run that way on this machine. */
  works(descriptor: ExeUnitDescriptor): Promise<boolean>
}

/** The wasm exe-unit to sell. Without the permission, one that does not work here stays and is not sold. */
export async function chooseWasmUnit({ node, allowInMemory, works }: IsolationRequest): Promise<ExeUnitDescriptor> {
  const jailed = wasmDescriptor(node)
  if (!allowInMemory || (await works(jailed))) return jailed
  return wasmDescriptor(node, 'in-memory')
}
