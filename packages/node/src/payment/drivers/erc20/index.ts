/**
 * The `erc20` payment driver: ERC-20 tokens on EVM chains.
 *
 * Orders wait in SQLite. Each account on each chain has a *lane* (`lane.ts`) that makes transactions out of them
 * (`compose.ts`), one in flight at a time, and leads each through its states (`transaction.ts`, `progress.ts`). What is
 * received is judged in `verify.ts`.
 *
 * Nobody is paid twice: an order is tied to one transaction in the database before anything is signed; its bytes are
 * stored before they are sent; later attempts share its nonce; and the tie is only undone when the chain has settled,
 * beyond reorganisation, that none of them took effect.
 */
export { createErc20Driver, type Erc20Deps } from './driver.ts'
export { DEFAULT_NETWORK, ERC20_NETWORKS, type Erc20Network, LOCAL_TIMING } from './networks.ts'
export { DEFAULT_ERC20_OPTIONS, type Erc20Options, networksFromEnvironment } from './options.ts'
