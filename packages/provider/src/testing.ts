/**
 * For tests of the agent: a daemon in memory, driven by the test from the requestor's side, exe-units without processes,
 * and a configuration folder without a disk.
 */
export { type FakeSettings, failure, unreachable } from './testing/book.ts'
export { createFakeDaemon, demandOf, type FakeDaemon } from './testing/daemon.ts'
export { createFakeExeUnits, type FakeExeUnits, type FakeUnit } from './testing/exe-units.ts'
export { createFakeFolder } from './testing/folder.ts'
export { PLATFORM, PROVIDER_ID, REQUESTOR_ID, TEST_MACHINE } from './testing/machine.ts'
