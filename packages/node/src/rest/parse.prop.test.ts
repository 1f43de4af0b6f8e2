/** Random requests never get more than a refusal. */
import { allApis, sampleOf } from '@emet/api/testing'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { createCalls } from './calls.ts'
import { buildApp } from './server.ts'
import { recordingMounts, TEST_KEY, testDeps, testOptions } from './testing.ts'

const routes = allApis.flatMap((api) => Object.values(api.routes).map((route) => ({ api, route })))
const withBody = routes.filter(({ route }) => route.body instanceof z.ZodType)

it('answers any JSON with success or a documented refusal', async () => {
  const app = await buildApp(testDeps(recordingMounts([])), testOptions(), createCalls())
  const mutation = fc.tuple(fc.constantFrom(...withBody), fc.jsonValue(), fc.nat(), fc.boolean())
  await fc.assert(
    fc.asyncProperty(mutation, async ([{ api, route }, value, at, isField]) => {
      const sample = sampleOf(route.body as z.ZodType)
      const params = sampleOf(route.params ?? z.object({})) as Record<string, string>
      const query = new URLSearchParams(sampleOf(route.query ?? z.object({})) as Record<string, string>)
      const names = typeof sample === 'object' && sample !== null ? Object.keys(sample) : []
      const name = names[at % Math.max(names.length, 1)]
      const body = isField && name ? { ...(sample as object), [name]: value } : value
      const answer = await app.inject({
        method: route.method,
        url: `${api.base}${route.path.replace(/:(\w+)/g, (_, key: string) => params[key] ?? '')}?${query}`,
        headers: { authorization: `Bearer ${TEST_KEY.key}`, 'content-type': 'application/json' },
        payload: JSON.stringify(body),
      })
      expect([route.success.status, 400]).toContain(answer.statusCode)
    }),
    { numRuns: 300 },
  )
  await app.close()
})

it('answers any target and any key without failing', async () => {
  const app = await buildApp(testDeps(recordingMounts([])), testOptions(), createCalls())
  const path = fc.oneof(fc.webPath(), fc.constantFrom(...routes.map(({ api, route }) => api.base + route.path)))
  await fc.assert(
    fc.asyncProperty(path, fc.webQueryParameters(), fc.string(), fc.boolean(), async (at, query, key, isRight) => {
      const url = `${at || '/'}?${query}`
      const authorization = isRight ? `Bearer ${TEST_KEY.key}` : key.replace(/[^\x20-\x7e]/g, '')
      const answer = await app.inject({ url, headers: { authorization } })
      expect([200, 400, 401, 404]).toContain(answer.statusCode)
    }),
    { numRuns: 300 },
  )
  await app.close()
})
