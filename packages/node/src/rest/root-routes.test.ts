import { rootApi } from '@emet/api'
import { describe, expect, it } from 'vitest'
import { createCalls } from './calls.ts'
import { createMetrics } from './metrics.ts'
import { createRootRoutes, type HealthCheck, HealthProblem } from './root-routes.ts'
import { buildApp } from './server.ts'
import { TEST_KEY, testDeps, testOptions } from './testing.ts'
import { mountApi } from './types.ts'

async function ask(
  url: string,
  healthChecks: HealthCheck[] = [],
  headers = { authorization: `Bearer ${TEST_KEY.key}` },
) {
  const metrics = createMetrics()
  metrics.counter('net_total', 'N').add()
  metrics.counter('market_total', 'M').add()
  const handlers = createRootRoutes({ buildName: 'emet 0.1.0', metrics, healthChecks })
  const app = await buildApp(testDeps([mountApi(rootApi, handlers)]), testOptions(), createCalls())
  const answer = await app.inject({ url, headers })
  await app.close()
  return answer
}

describe('the root routes', () => {
  it('say who calls', async () => {
    const answer = await ask('/me')
    expect(answer.body).toBe(`{"identity":"${TEST_KEY.nodeId}","name":"test","role":"manager"}`)
  })

  it('tell a version that clients accept, without a key', async () => {
    const answer = await ask('/version/get', [], { authorization: '' })
    expect(answer.json()).toEqual({
      current: {
        version: '0.17.6',
        name: 'emet 0.1.0',
        seen: true,
        releaseTs: '2015-10-13T15:43:00.000000',
        insertionTs: null,
        updateTs: null,
      },
      pending: null,
    })
  })

  it('are healthy when every check passes', async () => {
    const answer = await ask('/healthcheck', [async () => {}, async () => {}])
    expect([answer.statusCode, answer.body]).toEqual([200, '{"status":"ok"}'])
  })

  it('name the first problem as problem+json', async () => {
    const ill: HealthCheck = async () => {
      throw new HealthProblem('/healthcheck/payment-driver-errors', 'payments-check', 'no gas', { problems: ['gas'] })
    }
    const never: HealthCheck = () => expect.unreachable()
    const answer = await ask('/healthcheck', [ill, never])
    expect([answer.statusCode, answer.headers['content-type']]).toEqual([500, 'application/problem+json'])
    expect(answer.json()).toMatchObject({
      type: '/healthcheck/payment-driver-errors',
      step: 'payments-check',
      problems: ['gas'],
    })
  })

  it('print metrics, all or some', async () => {
    for (const path of ['expose', 'sorted'])
      expect((await ask(`/metrics-api/v1/${path}`)).body).toMatch(/^# HELP market_total.*net_total 1\n$/s)
    expect((await ask('/metrics-api/v1/filtered/net,x')).body).toBe(
      '# HELP net_total N\n# TYPE net_total counter\nnet_total 1\n',
    )
    expect((await ask('/metrics-api/v1/filtered')).body).toBe('')
  })
})
