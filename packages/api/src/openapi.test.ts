import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { allApis } from './all.ts'
import { openApiDocument } from './openapi.ts'
import { CONTRACT_VERSION, openApiText } from './openapi-text.ts'

type Operation = { operationId: string; parameters: { name: string; in: string; schema: object }[]; responses: object }
const document = openApiDocument(allApis, CONTRACT_VERSION) as {
  paths: Record<string, Record<string, Operation>>
  components: Record<string, Record<string, unknown>>
}

describe('spec/openapi.json', () => {
  it('is what the declarations say; else run: node packages/api/scripts/openapi.ts', () => {
    const committed = readFileSync(new URL('../../../spec/openapi.json', import.meta.url), 'utf8')
    expect(committed === openApiText()).toBe(true)
  })

  it('has an operation for each route, with an id of its own', () => {
    const ids = Object.values(document.paths).flatMap((path) =>
      Object.values(path).map(({ operationId }) => operationId),
    )
    expect(ids).toHaveLength(allApis.flatMap(({ routes }) => Object.keys(routes)).length)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('refers to nothing that is not there', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)]
    expect(references.length).toBeGreaterThan(300)
    const missing = references.filter(([, kind = '', name = '']) => !(name in (document.components[kind] ?? {})))
    expect(missing).toEqual([])
    expect(JSON.stringify(document)).not.toMatch(/\$defs|"wire":/)
  })

  it('says the wire form of numbers, instants and amounts, and the defaults', () => {
    const parameters = document.paths['/market-api/v1/agreementEvents']?.['get']?.parameters
    expect(parameters?.map(({ name, schema }) => [name, schema])).toEqual([
      ['timeout', { type: 'number', description: 'Seconds', default: 5 }],
      ['maxEvents', { type: 'integer', minimum: 1, maximum: 100, default: 20 }],
      ['afterTimestamp', { type: 'string', format: 'date-time', default: '2016-11-11T15:12:00.000000Z' }],
      ['appSessionId', { type: 'string', maxLength: 1024 }],
    ])
    expect(JSON.stringify(document.components['schemas']?.['Acceptance'])).toContain('"format":"decimal"')
  })
})
