/**
 * The provider agent: sells the machine over the daemon's REST API. See `types.ts` for what flows, `negotiation/` for
 * whom it serves, `rental.ts` for one agreement, `debit-notes.ts` for how it is paid, `resume.ts` for restarts.
 */
export { createProviderAgent } from './agent.ts'
export { type ConfigFolder, type ConfigName, type ProviderConfig, readConfig, writeConfig } from './config.ts'
export { ProviderError, type ProviderErrorCode } from './errors.ts'
export { type HardwareProfile, type Machine, profileSchema } from './hardware.ts'
export { type NegotiationOptions, negotiationOptionsSchema } from './negotiation/options.ts'
export { type ProviderOptions, providerOptionsSchema } from './options.ts'
export { type Preset, presetSchema } from './preset.ts'
export type {
  ExeUnits,
  LaunchRequest,
  ProviderAgent,
  ProviderDeps,
  ProviderStatus,
  RunningUnit,
  SoldRuntime,
  UnitExit,
} from './types.ts'
