import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { allApis, sampleOf } from './testing.ts'

const routes = allApis.flatMap((api) => Object.entries(api.routes).map(([name, route]) => ({ api, name, route })))

describe('the declarations', () => {
  it('claim each method and path once', () => {
    const claimed = routes.map(({ api, route }) => `${route.method} ${api.base}${route.path}`.replace(/:\w+/g, ':'))
    expect(claimed.length).toBeGreaterThan(110)
    expect(claimed.filter((path, at) => claimed.indexOf(path) !== at)).toEqual([])
  })

  it('name a parameter in the path for each one in the schema', () => {
    for (const { route } of routes) {
      const inPath = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => name)
      expect(inPath.sort(), route.path).toEqual(Object.keys(route.params?.shape ?? {}).sort())
    }
  })

  it.each(routes.map((entry) => [`${entry.api.tag}.${entry.name}`, entry.route] as const))(
    '%s: every schema decodes a sample and encodes it back',
    (_, route) => {
      for (const schema of [route.params, route.query, route.body, route.success.body, route.events]) {
        if (!(schema instanceof z.ZodType)) continue
        const value = schema.parse(sampleOf(schema))
        const wire = z.encode(schema, value as never)
        expect(schema.parse(JSON.parse(JSON.stringify(wire)))).toEqual(value)
      }
    },
  )
})
