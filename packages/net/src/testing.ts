/** For tests of what stands on the network: identities, an attachable node, and the compliance suite of `Transport`. */
export {
  ask,
  attachTestNode,
  describeTransport,
  failureOf,
  type TestNode,
  type TestRunner,
  type TransportRig,
  until,
} from './testing/compliance.ts'
export { createTestIdentity, type TestIdentity } from './testing/identity.ts'
