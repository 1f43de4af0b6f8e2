/**
 * The contracts of Emet's own chains, compiled, and the local chain they are deployed on.
 *
 * - `TestGlm`: the test token (ERC-20, EIP-2612 permit, EIP-3009 transfers by authorisation).
 * - `Faucet`: hands out test tokens (`create()`, as on Golem's test networks) and native coin (`drip`).
 * - `MultiPay`: many payees in one transaction, with the selectors of Golem's multi-transfer contracts.
 *
 * `startDevChain` (also at `@emet/contracts/dev-chain`) runs an Anvil node with all three at fixed addresses.
 */
export { faucetAbi, multiPayAbi, testGlmAbi } from '../artifacts/abi.ts'
export { type Artifact, type ContractName, readArtifact } from './artifacts.ts'
export {
  DEV_CHAIN_ADDRESSES,
  DEV_CHAIN_ID,
  type DevAccount,
  type DevChain,
  type DevChainOptions,
  devAccounts,
  devChainEnvironment,
  startDevChain,
} from './dev-chain.ts'
export { DevChainError, type DevChainErrorCode } from './errors.ts'
