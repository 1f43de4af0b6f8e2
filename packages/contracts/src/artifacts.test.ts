import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { compileContracts } from '../scripts/build.ts'

const ARTIFACTS = new URL('../artifacts/', import.meta.url)

test('the committed artifacts are what the sources compile to', () => {
  const built = compileContracts()
  expect(Object.keys(built).sort()).toEqual(['Faucet.json', 'MultiPay.json', 'TestGlm.json', 'abi.ts'])
  expect(readdirSync(ARTIFACTS).sort()).toEqual(Object.keys(built).sort())
  for (const [name, text] of Object.entries(built)) {
    expect(readFileSync(new URL(name, ARTIFACTS), 'utf8') === text, `${name}: run scripts/build.ts`).toBe(true)
  }
})
