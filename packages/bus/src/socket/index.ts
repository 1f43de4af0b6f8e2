/**
 * The router on a local socket: how other processes (exe-units above all) join the daemon's bus.
 *
 *     daemon:    const server = createBusServer({ bus, clock, random, logger }, { url: 'unix:/run/emet/bus.sock' })
 *                await server.start()
 *     process:   const bus = await connectBus({ clock, random, logger }, { url: server.url })
 *                bus.bind('/public/exeunit/12/Exec', handler)
 *                await bus.registered()
 *
 * The protocol is GSB's (Golem wire: `GSB_API`), so that the original exe-units can attach too. Between Emet processes two
 * packets are added: `cancel`, when a caller gives up, and `credit`, by which a stream waits for a slow caller.
 */
export { type AttachedBus, type BusClientDeps, type BusClientOptions, connectBus } from './client.ts'
export { type BusServer, type BusServerDeps, type BusServerOptions, createBusServer } from './server.ts'
export { UNIX_PATH_BYTES_MAX } from './url.ts'
