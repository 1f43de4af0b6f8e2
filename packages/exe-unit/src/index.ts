/**
 * Exe-unit: the supervisor process of one activity, and the runtimes it executes images with.
 *
 *     script.ts      what a requestor sends          runtime.ts    what a runtime is (read this first)
 *     state.ts       which command may come when     runtimes/     wasm (WASI in a jail), mock
 *     commands.ts    executes one command            transfer/     bytes into and out of volumes, image cache
 *     batch.ts       results and events of a batch   usage.ts      counters and limits
 *     supervisor.ts  all of it together              endpoints.ts  the same as bus messages
 *     main.ts        the program                     protocol.ts   what others need to start and call it
 */
export { ExeUnitError, type ExeUnitErrorCode, RuntimeError, type RuntimeErrorCode } from './errors.ts'
export type {
  Command,
  CommandEnd,
  DeployRequest,
  Instance,
  RunRequest,
  Runtime,
  RuntimeCapabilities,
  RuntimeLimits,
  Volume,
} from './runtime.ts'
export { createMockRuntime } from './runtimes/mock/index.ts'
export { createWasmRuntime } from './runtimes/wasm/index.ts'
export { createSupervisor, type Supervisor, type SupervisorDeps, type SupervisorOptions } from './supervisor.ts'
export { createTransfers } from './transfer/index.ts'
