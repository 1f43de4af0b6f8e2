import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getContractAddress } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { afterEach, expect, test } from 'vitest'
import {
  DEV_CHAIN_ADDRESSES,
  type DevChain,
  type DevChainOptions,
  devAccounts,
  devChainEnvironment,
  startDevChain,
} from './index.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'emet-chain-'))
  cleanups.push(() => rm(path, { recursive: true, force: true }))
  return path
}

async function start(options: Partial<DevChainOptions> = {}): Promise<DevChain> {
  const chain = await startDevChain({ dataDir: await folder(), ...options })
  cleanups.push(() => chain.stop())
  return chain
}

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('the fixed addresses follow from the deployer and its nonces, the keys belong to the accounts', () => {
  const from = devAccounts.deployer.address
  const faucet = getContractAddress({ from, nonce: 0n })
  expect(faucet.toLowerCase()).toBe(DEV_CHAIN_ADDRESSES.faucet)
  expect(getContractAddress({ from, nonce: 1n }).toLowerCase()).toBe(DEV_CHAIN_ADDRESSES.multiPay)
  expect(getContractAddress({ from: faucet, nonce: 1n }).toLowerCase()).toBe(DEV_CHAIN_ADDRESSES.token)
  for (const account of Object.values(devAccounts)) {
    expect(privateKeyToAddress(account.privateKey).toLowerCase()).toBe(account.address)
  }
})

test('a started chain has the wanted id and all contracts, and is gone after stop', async () => {
  const dataDir = await folder()
  const chain = await startDevChain({ dataDir, chainId: 560_048 })
  expect(Number(await chain.rpc('eth_chainId'))).toBe(560_048)
  for (const address of Object.values(chain.addresses)) {
    expect(String(await chain.rpc('eth_getCode', address, 'latest')).length).toBeGreaterThan(1_000)
  }
  expect(await chain.isHealthy()).toBe(true)
  await chain.stop()
  await chain.stop()
  await chain.exited
  expect(isAlive(chain.pid)).toBe(false)
  expect(await chain.isHealthy()).toBe(false)
  expect(await readdir(dataDir)).toEqual([])
})

test('two chains run side by side on ports of their own', async () => {
  const [one, two] = await Promise.all([start(), start()])
  expect(one?.rpcUrl).not.toBe(two?.rpcUrl)
})

test('a taken port is reported with what Anvil said', async () => {
  const chain = await start()
  const port = Number(new URL(chain.rpcUrl).port)
  await expect(start({ port })).rejects.toMatchObject({
    code: 'start-failed',
    message: expect.stringMatching(/in use/),
  })
})

test('the gas faucet gives once, and only to addresses', async () => {
  const chain = await start()
  const address = `0x${'1a'.repeat(20)}`
  const balance = async () => BigInt(String(await chain.rpc('eth_getBalance', address, 'latest')))
  const answers = await Promise.all([1, 2, 3].map(() => fetch(`${chain.gasFaucetUrl}/${address}`)))
  expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200])
  expect(await balance()).toBe(10n ** 17n)
  expect((await fetch(`${chain.gasFaucetUrl}/0x12`)).status).toBe(404)
})

test('a chain kept in a file goes on where it was', async () => {
  const options = { dataDir: await folder(), stateFile: join(await folder(), 'state.json') }
  const first = await startDevChain(options)
  await fetch(`${first.gasFaucetUrl}/0x${'1b'.repeat(20)}`)
  const height = Number(await first.rpc('eth_blockNumber'))
  await first.stop()
  const second = await start(options)
  expect(Number(await second.rpc('eth_blockNumber'))).toBe(height)
  expect(BigInt(String(await second.rpc('eth_getBalance', `0x${'1b'.repeat(20)}`, 'latest')))).toBe(10n ** 17n)
})

test('a chain with slow blocks has the contracts at once, and then mines by the clock', async () => {
  const chain = await start({ blockTimeS: 600 })
  expect(String(await chain.rpc('eth_getCode', chain.addresses.token, 'latest')).length).toBeGreaterThan(1_000)
  const height = await chain.rpc('eth_blockNumber')
  const { deployer, spare } = devAccounts
  await chain.rpc('eth_sendTransaction', { from: deployer.address, to: spare.address, value: '0x1' })
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(await chain.rpc('eth_blockNumber')).toBe(height)
})

test('the chain dies with its parent, even when that is killed', async () => {
  const script = `
    import { startDevChain } from ${JSON.stringify(new URL('./dev-chain.ts', import.meta.url).href)}
    const chain = await startDevChain({ dataDir: ${JSON.stringify(await folder())} })
    console.log(chain.pid)
    setInterval(() => {}, 1000)`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const pid = await new Promise<number>((resolve) => parent.stdout.once('data', (data) => resolve(Number(data))))
  expect(isAlive(pid)).toBe(true)
  parent.kill('SIGKILL')
  const deadline = performance.now() + 5_000
  while (isAlive(pid) && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20))
  expect(isAlive(pid)).toBe(false)
})

test('the environment names each network the way daemons read it', async () => {
  const chain = await start()
  const environment = devChainEnvironment(chain, ['hoodi', 'polygon'])
  expect(environment).toMatchObject({
    HOODI_GETH_ADDR: chain.rpcUrl,
    HOODI_CHAIN_ID: '31337',
    HOODI_TGLM_CONTRACT_ADDRESS: chain.addresses.token,
    POLYGON_GLM_CONTRACT_ADDRESS: chain.addresses.token,
    ERC20_POLYGON_REQUIRED_CONFIRMATIONS: '0',
  })
})
