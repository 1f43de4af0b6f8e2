import { afterEach, expect, test } from 'vitest'
import { createWorld as createBareWorld, rent, TEST_PRESETS, type World } from './testing/world.ts'

const worlds: World[] = []
const createWorld = () => {
  const world = createBareWorld()
  worlds.push(world)
  return world
}
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stopAll()
})

const [WASM] = TEST_PRESETS.presets
const presetsText = (presets: object[], active = presets.map((preset) => (preset as { name: string }).name)) =>
  JSON.stringify({ ver: 'V1', active, presets })
const COEFFICIENTS = 'golem.com.pricing.model.linear.coeffs'
const idsOf = ({ daemon }: World) => [...daemon.offers.keys()]

test('an offer says the prices in the order of its counters', async () => {
  const world = createWorld()
  await world.startAgent()
  const [offer] = [...world.daemon.offers.values()]
  expect(offer?.properties).toMatchObject({
    'golem.com.usage.vector': ['golem.usage.cpu_sec', 'golem.usage.duration_sec'],
    [COEFFICIENTS]: [0.002, 0.001, 0.5],
    'golem.inf.cpu.threads': 7,
  })
})

test('a new price publishes the changed preset anew, and no other', async () => {
  const world = createWorld()
  const { clock, daemon, folder } = world
  folder.write('presets.json', presetsText([{ ...WASM }, { ...WASM, name: 'cheap', 'initial-price': 0 }]))
  await world.startAgent()
  const [first, second] = idsOf(world)
  folder.edit(
    'presets.json',
    presetsText([
      { ...WASM, 'initial-price': 1 },
      { ...WASM, name: 'cheap', 'initial-price': 0 },
    ]),
  )
  await clock.advance(10)
  expect(idsOf(world)).toHaveLength(2)
  expect(idsOf(world)).toContain(second)
  expect(idsOf(world)).not.toContain(first)
  expect([...daemon.offers.values()].map(({ properties }) => properties[COEFFICIENTS])).toContainEqual([
    0.002, 0.001, 1,
  ])
})

test('a new hardware profile publishes all offers anew; new rules and unrelated edits none', async () => {
  const world = createWorld()
  const { clock, daemon, folder } = world
  await world.startAgent()
  const before = idsOf(world)
  folder.edit('rules.json', JSON.stringify({ blacklist: { enabled: true, identity: [] } }))
  folder.edit('presets.json', `${folder.read('presets.json')}\n`)
  await clock.advance(10)
  expect(idsOf(world)).toEqual(before)
  const small = { cpu_threads: 2, mem_gib: 1, storage_gib: 1 }
  folder.edit('hardware.json', JSON.stringify({ active: 'small', profiles: { small } }))
  await clock.advance(10)
  expect(idsOf(world)).not.toEqual(before)
  expect([...daemon.offers.values()]).toMatchObject([{ properties: { 'golem.inf.cpu.threads': 2 } }])
})

test('rules apply at once', async () => {
  const world = createWorld()
  const { clock, daemon, folder } = world
  await world.startAgent()
  folder.edit('rules.json', JSON.stringify({ 'allow-only': { enabled: true, identity: [] } }))
  daemon.propose()
  await clock.advance(10)
  const answers = daemon.calls.filter(({ name }) => /Proposal$/.test(name))
  expect(answers).toMatchObject([
    { name: 'rejectDemandProposal', body: { message: expect.stringContaining('allow list') } },
  ])
})

test.each([
  ['that is not JSON', '{'],
  ['with a negative price', presetsText([{ ...WASM, 'initial-price': -1 }])],
  ['that activates an unknown preset', presetsText([{ ...WASM }], ['other'])],
])('a file %s keeps the old offers', async (_what, text) => {
  const world = createWorld()
  const { clock, folder } = world
  const agent = await world.startAgent()
  const before = idsOf(world)
  folder.edit('presets.json', text)
  await clock.advance(10)
  expect(idsOf(world)).toEqual(before)
  expect(agent.status().presets).toEqual(['wasm'])
})

test('presets that cannot be sold are left out', async () => {
  const world = createWorld()
  const { folder } = world
  const odd = { ...WASM, name: 'odd', 'usage-coeffs': { 'golem.usage.gpu-sec': 1 } }
  folder.write('presets.json', presetsText([{ ...WASM }, odd, { ...WASM, name: 'vm', 'exeunit-name': 'vm' }]))
  const agent = await world.startAgent()
  expect(agent.status().presets).toEqual(['wasm'])
})

test('a preset that is switched off ends its offer, not its rentals', async () => {
  const world = createWorld()
  const { clock, exeUnits, folder } = world
  await world.startAgent()
  await rent(world)
  folder.edit('presets.json', presetsText([{ ...WASM }], []))
  await clock.advance(10)
  expect(idsOf(world)).toEqual([])
  expect(exeUnits.running.size).toBe(1)
})

test('an offer that changes while it is being published leaves no former one behind', async () => {
  const world = createWorld()
  const { clock, daemon, folder } = world
  const { createOffer } = daemon.client.market
  Object.assign(daemon.client.market, {
    // A daemon does what it was asked, even when nobody waits for the answer any more.
    createOffer: async ({ body, signal }: Parameters<typeof createOffer>[0]) => {
      const made = clock.sleep(500).then(() => createOffer({ body }))
      await clock.sleep(600, signal)
      return made
    },
  })
  await world.startAgent()
  folder.edit('presets.json', presetsText([{ ...WASM, 'initial-price': 1 }]))
  await clock.advance(2_000)
  expect([...daemon.offers.values()].map(({ properties }) => properties[COEFFICIENTS])).toEqual([[0.002, 0.001, 1]])
})
