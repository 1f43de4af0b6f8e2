/** Documents about the node itself. Golem wire: spec/rest-api.md §3.1. */
import { z } from 'zod'
import { nodeIdSchema } from '../ids.ts'
import { naiveInstantSchema, nullable } from './wire.ts'

/** Who a client acts for: the identity of its app key, and the key's name and role. */
export const callerIdentitySchema = z
  .object({ identity: nodeIdSchema, name: z.string(), role: z.string() })
  .meta({ id: 'CallerIdentity' })
export type CallerIdentity = z.output<typeof callerIdentitySchema>

export const releaseSchema = z
  .object({
    version: z.string(),
    name: z.string(),
    seen: z.boolean(),
    releaseTs: naiveInstantSchema,
    insertionTs: nullable(naiveInstantSchema),
    updateTs: nullable(naiveInstantSchema),
  })
  .meta({ id: 'Release' })
export type Release = z.output<typeof releaseSchema>

export const versionInfoSchema = z
  .object({ current: releaseSchema, pending: nullable(releaseSchema) })
  .meta({ id: 'VersionInfo' })
export type VersionInfo = z.output<typeof versionInfoSchema>

/** `listenIp` and `publicIp` are socket addresses, `ip:port`. */
export const netStatusSchema = z
  .object({
    nodeId: nodeIdSchema,
    listenIp: nullable(z.string()),
    publicIp: nullable(z.string()),
    sessions: z.int().min(0),
  })
  .meta({ id: 'NetStatus' })
export type NetStatusDocument = z.output<typeof netStatusSchema>

/** A virtual network among a requestor's activities. `ip` is in CIDR form in output. */
export const vpnNetworkSchema = z
  .object({ id: z.string(), ip: z.string(), mask: z.string(), gateway: z.string() })
  .meta({ id: 'VpnNetwork' })
export type VpnNetwork = z.output<typeof vpnNetworkSchema>
