import { readFileSync } from 'node:fs'

/** A compiled contract, as `artifacts/<name>.json` holds it. */
export type Artifact = {
  readonly contractName: string
  readonly abi: readonly unknown[]
  /** What a deployment sends: `0x` and hex, constructor arguments not included. */
  readonly bytecode: `0x${string}`
}

export type ContractName = 'TestGlm' | 'Faucet' | 'MultiPay'

/** Reads one of our compiled contracts. */
export function readArtifact(name: ContractName): Artifact {
  return JSON.parse(readFileSync(new URL(`../artifacts/${name}.json`, import.meta.url), 'utf8'))
}
