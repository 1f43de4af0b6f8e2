import { expect, it } from 'vitest'
import { chooseWasmUnit } from './isolation.ts'

const choose = async (allowInMemory: boolean, hasBubblewrap: boolean) => {
  const works = async ({ args }: { args: readonly string[] }) => hasBubblewrap || args.includes('--in-memory')
  const { args } = await chooseWasmUnit({ node: 'node', allowInMemory, works })
  return args.includes('--in-memory')
}

it('runs programs in memory only where that is allowed and bubblewrap does not work', async () => {
  expect(await choose(true, false)).toBe(true)
  expect(await choose(true, true)).toBe(false)
  expect(await choose(false, true)).toBe(false)
  expect(await choose(false, false)).toBe(false)
})
