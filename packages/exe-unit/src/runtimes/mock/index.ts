/** A runtime without an engine, for tests of everything around it. */
export { createMockRuntime, type MockRuntimeOptions } from './runtime.ts'
