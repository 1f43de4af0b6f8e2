/**
 * The daemon, on one page. Everything is made here and nowhere else, from left to right:
 *
 *     store -> identity -> bus + net -> market -> activity -> payment -> files -> rest
 *
 * Each part knows only those to its left. They start in this order and stop in reverse.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  activityApi,
  emetActivityApi,
  emetFilesApi,
  emetIdentityApi,
  emetMarketApi,
  emetNetApi,
  emetNodeApi,
  emetPaymentApi,
  gsbApi,
  marketApi,
  netApi,
  paymentApi,
  rootApi,
} from '@emet/api'
import { createBus } from '@emet/bus'
import { createBusServer } from '@emet/bus/socket'
import type { Clock, Logger, NodeId, Random, Service } from '@emet/core'
import { createNet } from '@emet/net'
import { createLibp2pTransport } from '@emet/net/libp2p'
import type { z } from 'zod'
import { activityAgreements, activityRoutes, createActivity, emetActivityRoutes } from './activity/index.ts'
import { createAdminRoutes } from './admin/index.ts'
import { defaultBusUrl } from './bus-url.ts'
import { createClientServices, createFiles, filesRoutes, gsbRoutes, gsbWebSockets } from './files/index.ts'
import { healthChecks } from './health.ts'
import { createIdentity, createIdentityRoutes, createIdentityStore, type IdentityService } from './identity/index.ts'
import { createEmetMarketRoutes, createMarket, createMarketRoutes, createOfferIndex } from './market/index.ts'
import { createEmetNetRoutes, createNetRoutes, netIdentity } from './net/index.ts'
import { type NodeOptions, nodeOptionsSchema } from './options.ts'
import { createErc20Driver, networksFromEnvironment } from './payment/drivers/erc20/index.ts'
import { createPayment, emetPaymentRoutes, paymentRoutes } from './payment/index.ts'
import { createMetrics, createRestServer, createRootRoutes, mountApi } from './rest/index.ts'
import { startAll, started } from './start-all.ts'
import { openDatabase } from './store/index.ts'
import { paymentAgreements } from './wiring.ts'

export type NodePorts = { readonly clock: Clock; readonly random: Random; readonly logger: Logger }

export type NodeHost = NodePorts & {
  /** The build, such as `0.1.0`. */
  readonly version: string
  /** Called when a client asks the daemon to end. */
  readonly requestShutdown: () => void
}

/** A running daemon. */
export interface Node {
  readonly nodeId: NodeId
  readonly apiUrl: string
  readonly busUrl: string
  /** Addresses at which peers connect. */
  readonly endpoints: readonly string[]
  /** The token of this machine's own commands. */
  readonly cliAppKey: string
  stop(): Promise<void>
}

/** The name of the app key that this machine's own commands use. */
const CLI_APP_KEY = 'emet-cli'

/** Makes and starts a daemon. When a part cannot start, those that did are stopped again and the error is thrown. */
export async function startNode(host: NodeHost, given: NodeOptions): Promise<Node> {
  const options = nodeOptionsSchema.parse(given)
  const { clock, random, logger } = host
  const ports = { clock, random, logger }
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 })

  const db = openDatabase({ path: join(options.dataDir, 'emet.db'), durability: options.durability })
  const identity = createIdentity({ store: createIdentityStore(db), ...ports }, options.identity)
  // The keys come first: everything else asks who we are as it is made.
  await identity.start()
  const bus = createBus(ports)
  const busUrl = options.busUrl ?? defaultBusUrl(options.dataDir)
  const busServer = createBusServer({ bus, ...ports }, { url: busUrl })
  const keys = netIdentity(identity)
  const roles = options.offerIndex ? (['index'] as const) : []
  const transport = createLibp2pTransport({ identity: keys, ...ports }, { ...options.net, roles })
  const net = createNet({ transports: [transport], bus, identity: keys, ...ports })
  const market = createMarket(
    { bus, net, signer: identity, db, ...ports },
    { ...options.market, isIndex: roles.length > 0 },
  )
  const offerIndex = options.offerIndex
    ? createOfferIndex({ bus, signer: identity, clock, logger }, options.offerIndex)
    : undefined
  const activity = createActivity({ bus, db, agreements: activityAgreements(market), ...ports }, options.activity)
  const privateKey = (id: NodeId) => identity.privateKey(id)
  const erc20 = createErc20Driver({ db, privateKey, fetch, log: logger, clock, random }, erc20Options(options))
  const payment = createPayment(
    {
      bus,
      db,
      signer: identity,
      drivers: [erc20],
      agreements: paymentAgreements(market),
      activities: activity,
      ...ports,
    },
    options.payment,
  )
  const files = createFiles({ bus, net, db, ...ports }, { folder: join(options.dataDir, 'files') })
  const services = createClientServices({ bus, random })

  const metrics = createMetrics()
  const checks = healthChecks({ payment, net, expectsPeers: options.net.bootstrap.length > 0 })
  const counts = (nodeId: NodeId) => ({
    peers: net.peers().filter(({ state }) => state === 'connected').length,
    knownOffers: market.knownOffers().length,
    offers: market.negotiations.offers(nodeId).length,
    demands: market.negotiations.demands(nodeId).length,
    agreements: market.agreements.list(nodeId, { state: 'Approved' }).length,
    activities: activity.list(nodeId, { alive: true }).length,
  })
  const admin = createAdminRoutes({
    ...host,
    nodeId: () => identity.defaultId,
    startedMs: clock.nowMs(),
    counts,
    settings: visibleSettings(options),
  })
  const rest = createRestServer(
    {
      keys: identity,
      clock,
      log: logger,
      metrics,
      mounts: [
        mountApi(rootApi, createRootRoutes({ buildName: `emet ${host.version}`, metrics, healthChecks: checks })),
        mountApi(marketApi, createMarketRoutes(market)),
        mountApi(activityApi, activityRoutes(activity)),
        mountApi(paymentApi, paymentRoutes(payment)),
        mountApi(netApi, createNetRoutes(net)),
        mountApi(gsbApi, gsbRoutes(services), gsbWebSockets(services)),
        mountApi(emetIdentityApi, createIdentityRoutes(identity)),
        mountApi(emetNetApi, createEmetNetRoutes(net)),
        mountApi(emetFilesApi, filesRoutes(files)),
        mountApi(emetPaymentApi, emetPaymentRoutes(payment)),
        mountApi(emetMarketApi, createEmetMarketRoutes(market)),
        mountApi(emetActivityApi, emetActivityRoutes(activity, activityAgreements(market))),
        mountApi(emetNodeApi, admin),
      ],
    },
    options.rest,
  )

  const parts: Service[] = [
    started(async () => db.close()),
    started(identity.stop),
    net,
    ...(offerIndex ? [offerIndex] : []),
    market,
    activity,
    payment,
    files,
    started(async () => services.stop()),
    busServer,
    rest,
  ]
  const stop = await startAll(parts, logger)
  const cliAppKey = ownAppKey(identity)
  const { endpoints } = net.status()
  logger.info('the daemon is ready', { nodeId: identity.defaultId, apiUrl: rest.url, endpoints })
  return { nodeId: identity.defaultId, apiUrl: rest.url, busUrl: busServer.url, endpoints, cliAppKey, stop }
}

/** The key of this machine's own commands, bound to the default identity, which may be another than at the last start. */
function ownAppKey(identity: IdentityService): string {
  const old = identity.appKeys().find(({ name }) => name === CLI_APP_KEY)
  if (old && (old.nodeId !== identity.defaultId || old.role !== 'manager')) identity.dropAppKey(CLI_APP_KEY)
  return identity.createAppKey({ name: CLI_APP_KEY }).key
}

function erc20Options({ paymentNetworks, defaultPaymentNetwork, paymentGatherMs }: z.output<typeof nodeOptionsSchema>) {
  return {
    networks: networksFromEnvironment(paymentNetworks),
    ...(defaultPaymentNetwork === undefined ? {} : { defaultNetwork: defaultPaymentNetwork }),
    ...(paymentGatherMs === undefined ? {} : { gatherMs: paymentGatherMs }),
  }
}

/** What `emet config show` may show: everything but keys. */
function visibleSettings({ identity, ...settings }: object & { identity?: object }): Record<string, unknown> {
  return { ...settings, identity: Object.fromEntries(Object.keys(identity ?? {}).map((name) => [name, '(secret)'])) }
}
