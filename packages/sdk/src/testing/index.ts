/**
 * A daemon and its market in memory, under a virtual clock: providers with scripted behaviour, for tests of the SDK and of
 * programs that use it. Nothing here is a mock of the SDK; it is the other side of the REST client.
 */
export { createFakeDaemon } from './daemon.ts'
export { type FakeDaemon, type FakeProgram, type FakeProvider, fakeProviderId } from './types.ts'
