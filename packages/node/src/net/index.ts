/** The peer network's part in the daemon: its routes. The network itself is `@emet/net`. */

export { netIdentity } from './identity.ts'
export { createEmetNetRoutes, createNetRoutes } from './routes.ts'
