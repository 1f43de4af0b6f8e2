/**
 * Core: the vocabulary every other package speaks. Ids, amounts and instants; the property and constraint language;
 * pricing; the documents and their states; and the ports (`Clock`, `Random`, `Logger`). No I/O: it runs in a browser.
 */
export { formatAmount, GLM_DECIMALS, parseAmount } from './amount.ts'
export { type Clock, sleepWith, systemClock } from './clock.ts'
export { CodedError, type ErrorFacts, hasCode, messageOf } from './errors.ts'
export { type NodeId, nodeId, nodeIdSchema, parseNodeId, type Role } from './ids.ts'
export {
  formatInstant,
  formatNaiveInstant,
  fromMs,
  type InstantUs,
  parseInstant,
  toMs,
} from './instant.ts'
export { type LogFields, type Logger, silentLogger } from './logger.ts'
export { type Random, randomFraction, randomHexId, randomUuid, systemRandom } from './random.ts'
export type { AbortOptions, Service, Unregister } from './service.ts'
