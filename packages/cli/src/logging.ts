import type { Logger } from '@emet/core'
import { type Logger as Pino, pino, stdSerializers, stdTimeFunctions } from 'pino'

/** Structured logs on standard error, one JSON object a line. */
export function createLogger(level: string): Logger {
  const serializers = { error: stdSerializers.err }
  const options = {
    level,
    base: null,
    serializers,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { bindings: () => ({}) },
  }
  return wrap(pino(options, pino.destination({ dest: 2, sync: true })))
}

function wrap(inner: Pino): Logger {
  const plain = (fields: object | undefined) => JSON.parse(JSON.stringify(fields ?? {}, texts))
  const write = (level: 'debug' | 'info' | 'warn' | 'error') => (message: string, fields?: object) => {
    if (inner.isLevelEnabled(level)) inner[level](plain(fields), message)
  }
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => wrap(inner.child(fields)),
  }
}

/** What JSON has no form for: amounts, errors. */
function texts(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (!(value instanceof Error)) return value
  const { name, message, stack } = value
  const code = 'code' in value ? value.code : undefined
  const facts = 'facts' in value ? value.facts : undefined
  return { name, code, message, facts, stack, cause: value.cause }
}
