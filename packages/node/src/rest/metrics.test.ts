import { expect, it } from 'vitest'
import { createMetrics, METRIC_SERIES_MAX } from './metrics.ts'

it('prints counters and gauges sorted, with escaped labels', () => {
  const metrics = createMetrics()
  metrics.gauge('b_peers', 'Peers').set(3)
  metrics.counter('a_total', 'All').add(2, { path: 'x"\\\n', kind: 'k' })
  metrics.counter('a_total', 'All').add(1, { kind: 'k', path: 'x"\\\n' })
  metrics.counter('never_total', 'Never used')
  expect(metrics.text()).toBe(
    '# HELP a_total All\n# TYPE a_total counter\na_total{kind="k",path="x\\"\\\\\\n"} 3\n' +
      '# HELP b_peers Peers\n# TYPE b_peers gauge\nb_peers 3\n',
  )
  expect(metrics.text(['b_', 'c'])).toBe('# HELP b_peers Peers\n# TYPE b_peers gauge\nb_peers 3\n')
})

it('keeps a bounded number of label combinations', () => {
  const metrics = createMetrics()
  const counter = metrics.counter('a', 'A')
  for (let at = 0; at < METRIC_SERIES_MAX + 5; at++) counter.add(1, { at: String(at) })
  counter.add(1, { at: '0' })
  expect(metrics.text().split('\n').length - 3).toBe(METRIC_SERIES_MAX)
  expect(metrics.text()).toContain('a{at="0"} 2')
})
