/** Counters and gauges, printed in the text form of Prometheus. */

/** Most label combinations of one metric; more are dropped, so that no peer can fill memory. */
export const METRIC_SERIES_MAX = 1000

export type Labels = Readonly<Record<string, string>>

export interface Counter {
  add(amount?: number, labels?: Labels): void
}

export interface Gauge {
  set(value: number, labels?: Labels): void
}

export interface Metrics {
  /** The counter of this name; asking twice gives the same one. */
  counter(name: string, help: string): Counter
  gauge(name: string, help: string): Gauge
  /** All metrics, sorted by name; only those whose names begin with one of `prefixes`, if any are given. */
  text(prefixes?: readonly string[]): string
}

type Kind = 'counter' | 'gauge'
type Metric = { readonly kind: Kind; readonly help: string; readonly series: Map<string, number> }

export function createMetrics(): Metrics {
  const metrics = new Map<string, Metric>()
  const metric = (name: string, kind: Kind, help: string): Metric => {
    const known = metrics.get(name)
    if (known) return known
    const made: Metric = { kind, help, series: new Map() }
    metrics.set(name, made)
    return made
  }
  const write = ({ series }: Metric, labels: Labels, update: (old: number) => number) => {
    const key = labelText(labels)
    const old = series.get(key)
    if (old === undefined && series.size >= METRIC_SERIES_MAX) return
    series.set(key, update(old ?? 0))
  }
  return {
    counter: (name, help) => {
      const own = metric(name, 'counter', help)
      return { add: (amount = 1, labels = {}) => write(own, labels, (old) => old + amount) }
    },
    gauge: (name, help) => {
      const own = metric(name, 'gauge', help)
      return { set: (value, labels = {}) => write(own, labels, () => value) }
    },
    text: (prefixes) => {
      const isWanted = (name: string) => !prefixes || prefixes.some((prefix) => name.startsWith(prefix))
      const names = [...metrics.keys()].filter(isWanted).sort()
      return names.map((name) => print(name, metrics.get(name))).join('')
    },
  }
}

function print(name: string, metric: Metric | undefined): string {
  if (!metric || metric.series.size === 0) return ''
  const lines = [...metric.series]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${name}${key} ${value}\n`)
  return `# HELP ${name} ${metric.help}\n# TYPE ${name} ${metric.kind}\n${lines.join('')}`
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))
  return pairs.length === 0 ? '' : `{${pairs.map(([name, value]) => `${name}="${escapeValue(value)}"`).join(',')}}`
}

const escapeValue = (value: string) => value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
