/** An in-process network of transports for tests and simulation, with latency, loss, partitions and crashes. */
export {
  createMemoryNetwork,
  type MemoryFaults,
  type MemoryNetwork,
  type MemoryNetworkDeps,
  memoryEndpoint,
} from './network.ts'
