/** The daemon and the relay, each made and started by one function. */
export { type Node, type NodeHost, type NodePorts, startNode } from './node.ts'
export { type NodeOptions, nodeOptionsSchema, type RelayOptions, relayOptionsSchema } from './options.ts'
export { type Relay, startRelay } from './relay.ts'
