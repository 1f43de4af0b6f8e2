import { expect, it } from 'vitest'
import type { PaymentDriver } from './drivers/types.ts'
import { sharedPlatforms } from './platform.ts'
import { createWorld, GLM, PLATFORM } from './testing/index.ts'

const TWIN = 'mock-twin-tglm'

/** The driver with a second network: on the same chain, or on another. */
function withTwin(driver: PaymentDriver, chainId: number): PaymentDriver {
  const [local] = driver.networks()
  if (!local) throw new Error('the mock driver has a network')
  const tokens = local.tokens.map((token) => ({ ...token, platform: TWIN }))
  const networks = [local, { ...local, name: 'twin', chainId, tokens, isDefault: false }]
  return {
    ...driver,
    networks: () => networks,
    checkFunds: (request, options) => driver.checkFunds({ ...request, platform: PLATFORM }, options),
  }
}

const worldWithTwin = (chainId: number) =>
  createWorld({
    balance: 10n * GLM,
    deps: (deps) => ({ ...deps, drivers: deps.drivers.map((driver) => withTwin(driver, chainId)) }),
  })

const wish = (paymentPlatform: string, glm: bigint) => ({
  ...{ paymentPlatform, totalAmount: glm * GLM, address: undefined, timeout: undefined },
  ...{ deposit: undefined, makeDeposit: undefined, extendTimeout: undefined },
})

it('reserves the same balance once, whichever of its platforms is named', async () => {
  const world = await worldWithTwin(31_337)
  const { payment, id } = world.requestor
  await payment.allocations.create(id, wish(PLATFORM, 6n))
  await expect(payment.allocations.create(id, wish(TWIN, 5n))).rejects.toMatchObject({
    code: 'insufficient-funds',
    facts: { availableFunds: '4', reservedFunds: '6' },
  })
  await payment.allocations.create(id, wish(TWIN, 4n))
  await expect(payment.allocations.create(id, wish(PLATFORM, 1n))).rejects.toMatchObject({ code: 'insufficient-funds' })
  await world.stop()
})

it('lets only one of two take the last money at the same time', async () => {
  const world = await worldWithTwin(31_337)
  const { payment, id } = world.requestor
  const both = [PLATFORM, TWIN].map((platform) => payment.allocations.create(id, wish(platform, 6n)))
  expect((await Promise.allSettled(both)).map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  await world.stop()
})

it('keeps the money of different chains apart', async () => {
  const world = await worldWithTwin(1)
  const { payment, id } = world.requestor
  await payment.allocations.create(id, wish(PLATFORM, 6n))
  await payment.allocations.create(id, wish(TWIN, 6n))
  await world.stop()
})

it('names the platform itself when nobody serves it', () => {
  expect(sharedPlatforms([], 'erc20-nowhere-glm')).toEqual(['erc20-nowhere-glm'])
})
