/** Every command, as data. */
import type { Action, CommandSpec } from './context.ts'

const query = (name: keyof typeof import('./query.ts')) => async () => (await import('./query.ts'))[name] as Action
const identity = (name: keyof typeof import('./identity.ts')) => async () =>
  (await import('./identity.ts'))[name] as Action
const processes = (name: keyof typeof import('./run-node.ts')) => async () =>
  (await import('./run-node.ts'))[name] as Action
const provider = (name: keyof typeof import('./provider.ts')) => async () =>
  (await import('./provider.ts'))[name] as Action

const NETWORK = ['--network <name>', 'payment network, e.g. hoodi'] as const
const LAST = ['--last <n>', 'how many, the newest first (default 50)'] as const
const PASSWORD = ['--password-file <file>', 'file that holds the password'] as const

/** What the commands of one word are about. */
export const GROUPS: Readonly<Record<string, string>> = {
  node: 'The daemon',
  relay: 'A meeting point for nodes, with an index of offers',
  provider: 'Selling this machine: the agent, prices, and how much is lent',
  preset: 'What is sold, and for how much',
  profile: 'How much of the machine is lent',
  id: 'Identities: the keys a node acts with',
  'app-key': 'Tokens of REST clients',
  payment: 'Balances, reserved funds, debit notes, invoices, payments',
  market: 'Offers, demands and agreements',
  activity: 'Uses of rented machines',
  net: 'The peer network',
  config: 'Settings, and where they come from',
  gftp: 'The file server that existing Golem programs start',
}

export const COMMANDS: readonly CommandSpec[] = [
  {
    usage: 'demo',
    summary: 'Starts a whole network with a chain, renders a picture on it, pays, and shows the account',
    flags: [
      ['--scene <file>', 'scene to render'],
      ['--providers <n>', 'how many providers (default 3)'],
      ['--width <pixels>', 'width of the picture (default 480)'],
      ['--height <pixels>', 'height of the picture (default 320)'],
      ['--samples <n>', 'rays per pixel (default 16)'],
      ['--out <file>', 'where to write the picture (default emet-demo.png)'],
      ['--keep', 'leave the network running, and say how to use it'],
    ],
    load: async () => (await import('../demo/demo.ts')).demo,
  },
  {
    usage: 'dev [action]',
    summary: 'Keeps a whole local network with a chain: `emet dev`, `emet dev status`, `emet dev stop`',
    flags: [
      ['--providers <n>', 'how many providers (default 2)'],
      ['--foreground', 'stay attached; Ctrl-C ends the network'],
    ],
    load: async () => (await import('./dev.ts')).dev,
  },
  {
    usage: 'run <program> [args...]',
    summary:
      'Rents a provider, runs a WASM program there, and fetches its outputs: emet run prog.wasm --in a --out b -- args',
    flags: [
      ['--in <file...>', 'file to send; it is /input/<name> there'],
      ['--out <file...>', 'file to fetch: /output/<name> there'],
      ['--budget <glm>', 'the most to spend (default 1)'],
      ['--timeout <seconds>', 'the longest rental (default 1800)'],
      ['--wait <seconds>', 'how long to look for a provider (default 30)'],
      ['--entry <name>', 'entry point of a package (default main)'],
      ['--network <name>', 'payment network'],
      ['--subnet <name>', 'only providers of this subnet (default public)'],
      ['--quiet', 'no progress, only what the program prints'],
    ],
    load: async () => (await import('./run.ts')).run,
  },
  {
    usage: 'gftp server',
    summary: 'Transfers files for other programs: JSON-RPC on standard input and output',
    load: async () => (await import('./gftp.ts')).gftpServer,
  },
  { usage: 'node run', summary: 'Runs the daemon', takesDaemonSettings: true, load: processes('nodeRun') },
  { usage: 'node stop', summary: 'Stops the daemon', load: processes('nodeStop') },
  {
    usage: 'relay run',
    summary: 'Runs a relay: a meeting point with an index of offers',
    takesDaemonSettings: true,
    load: processes('relayRun'),
  },
  {
    usage: 'provider run',
    summary: 'Sells this machine through the daemon',
    flags: [
      ['--provider-dir <folder>', 'presets, hardware profile and rules (default: provider in the data folder)'],
      ['--node-name <name>', 'name shown to requestors'],
      ['--subnet <name>', 'trade only in this subnet (default public)'],
      ['--payment-network <name...>', 'be paid on these only'],
      ['--max-agreements <n>', 'agreements at the same time (default 1)'],
      ['--min-expiration <seconds>', 'the shortest rental (default 300)'],
      ['--debit-note-interval <seconds>', 'how often usage is billed (default 120)'],
      ['--allow-in-memory', 'where bubblewrap is missing, run programs on files in memory; only V8 then confines them'],
    ],
    load: processes('providerRun'),
  },
  { usage: 'provider preset list', summary: 'What is sold, and for how much', load: provider('presetList') },
  {
    usage: 'provider preset set <name>',
    summary: 'Changes a preset or makes one; running providers take it up at once',
    flags: [
      ['--exe-unit <runtime>', 'runtime that is sold (default wasmtime)'],
      ['--cpu-hour <glm>', 'price of an hour of CPU'],
      ['--hour <glm>', 'price of an hour of time'],
      ['--start <glm>', 'price of a start'],
    ],
    load: provider('presetSet'),
  },
  { usage: 'provider preset activate <name>', summary: 'Begins to sell a preset', load: provider('presetActivate') },
  {
    usage: 'provider preset deactivate <name>',
    summary: 'Ceases to sell a preset',
    load: provider('presetDeactivate'),
  },
  { usage: 'provider preset remove <name>', summary: 'Removes a preset', load: provider('presetRemove') },
  { usage: 'provider profile show', summary: 'How much of the machine is lent', load: provider('profileShow') },
  {
    usage: 'provider profile set',
    summary: 'Changes how much of the machine is lent; running providers take it up at once',
    flags: [
      ['--threads <n>', 'CPU threads'],
      ['--memory <gib>', 'memory in GiB'],
      ['--storage <gib>', 'disk in GiB'],
    ],
    load: provider('profileSet'),
  },
  { usage: 'provider doctor', summary: 'What this machine can sell, and what is missing', load: provider('doctor') },
  { usage: 'status', summary: 'What the daemon is doing', load: query('status') },
  { usage: 'id list', summary: 'The identities of the daemon', load: identity('idList') },
  { usage: 'id show [name]', summary: 'One identity: by alias or address; the default one', load: identity('idShow') },
  {
    usage: 'id create',
    summary: 'Makes an identity',
    flags: [
      ['--alias <name>', 'a name for it'],
      PASSWORD,
      ['--private-key-file <file>', 'file that holds the key to use (64 hex digits)'],
      ['--set-default', 'make it the default identity'],
    ],
    load: identity('idCreate'),
  },
  {
    usage: 'id import <keystore>',
    summary: 'Makes an identity of a keystore file',
    flags: [['--alias <name>', 'a name for it'], PASSWORD],
    load: identity('idImport'),
  },
  {
    usage: 'id export <address>',
    summary: 'Prints the encrypted keystore of an identity',
    flags: [['--out <file>', 'write it to a file']],
    load: identity('idExport'),
  },
  {
    usage: 'id update <address>',
    summary: 'Renames an identity, or makes it the default one',
    flags: [
      ['--alias <name>', 'the new name'],
      ['--set-default', 'make it the default identity'],
    ],
    load: identity('idUpdate'),
  },
  { usage: 'id drop <address>', summary: 'Deletes an identity and its key', load: identity('idDrop') },
  { usage: 'id lock <address>', summary: 'Forgets the decrypted key', load: identity('idLock') },
  { usage: 'id unlock <address>', summary: 'Decrypts the key', flags: [PASSWORD], load: identity('idUnlock') },
  {
    usage: 'app-key create <name>',
    summary: 'Makes a token for a REST client, and prints it',
    flags: [
      ['--id <address>', 'the identity it acts for (default: the default one)'],
      ['--role <role>', 'manager: may do everything (default); agent: may trade, but not change the node'],
      ['--allow-origin <origin...>', 'web pages that may use it'],
    ],
    load: identity('appKeyCreate'),
  },
  { usage: 'app-key list', summary: 'The tokens of REST clients', load: identity('appKeyList') },
  { usage: 'app-key drop <name>', summary: 'Deletes a token; it stops working at once', load: identity('appKeyDrop') },
  {
    usage: 'payment status',
    summary: 'Balance, gas, reserved funds and sums',
    flags: [NETWORK],
    load: query('paymentStatus'),
  },
  { usage: 'payment networks', summary: 'The payment networks the daemon can use', load: query('paymentNetworks') },
  { usage: 'payment fund', summary: 'Gets test tokens and gas', flags: [NETWORK], load: query('paymentFund') },
  { usage: 'payment allocations', summary: 'Reserved funds', load: query('paymentAllocations') },
  { usage: 'payment invoices', summary: 'Invoices, in both roles', load: query('paymentInvoices') },
  { usage: 'payment debit-notes', summary: 'Debit notes, in both roles', load: query('paymentDebitNotes') },
  { usage: 'payment payments', summary: 'Settled transfers, in both roles', load: query('paymentPayments') },
  {
    usage: 'market offers',
    summary: 'The offers this daemon knows',
    flags: [LAST, ['--constraints <text>', 'only those that match']],
    load: query('marketOffers'),
  },
  { usage: 'market demands', summary: 'Our demands', load: query('marketDemands') },
  {
    usage: 'market agreements',
    summary: 'Our agreements, in both roles',
    flags: [['--state <state>', 'only those in this state, e.g. Approved']],
    load: query('marketAgreements'),
  },
  { usage: 'market explain <demand>', summary: 'Why a demand gets what it gets', load: query('marketExplain') },
  {
    usage: 'activity list',
    summary: 'Our activities, in both roles',
    flags: [LAST, ['--alive', 'only those that run']],
    load: query('activities'),
  },
  { usage: 'net status', summary: 'Who we are in the network, and where we are reached', load: query('netStatus') },
  { usage: 'net peers', summary: 'The peers of this daemon', load: query('netPeers') },
  { usage: 'net connect <peer>', summary: 'Connects to a peer: a node id, or an address', load: query('netConnect') },
  { usage: 'net disconnect <peer>', summary: 'Closes the connection to a peer', load: query('netDisconnect') },
  { usage: 'config show', summary: 'Every setting, its value, and where it came from', load: query('configShow') },
]
