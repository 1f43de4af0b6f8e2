import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { nodeId, nodeIdSchema } from '../ids.ts'
import {
  activityStateSchema,
  agreementOperationEventSchema,
  allocationSchema,
  base64Schema,
  commandName,
  exeScriptCommandResultSchema,
  newAllocationSchema,
  parseExeScript,
  providerEventSchema,
  reasonSchema,
  runtimeEventSchema,
  signedPaymentSchema,
  versionInfoSchema,
} from './index.ts'

const ID = '0x00000000000000000000000000000000000000aB'
const wire = <S extends z.ZodType>(schema: S, value: z.output<S>) => JSON.parse(JSON.stringify(z.encode(schema, value)))

describe('input', () => {
  it('takes what golem-js sends for an allocation: extra fields, empty texts, text amounts', () => {
    const parsed = newAllocationSchema.parse({
      totalAmount: '0.25',
      paymentPlatform: 'erc20-hoodi-tglm',
      address: ID,
      timestamp: '2026-11-23T08:15:00.000Z',
      timeout: '2026-11-23T08:15:00.123456789+01:00',
      makeDeposit: false,
      remainingAmount: '',
      spentAmount: '',
      allocationId: '',
      deposit: null,
    })
    expect(parsed).toEqual({
      totalAmount: 250_000_000_000_000_000n,
      paymentPlatform: 'erc20-hoodi-tglm',
      address: ID,
      timeout: Date.UTC(2026, 10, 23, 7, 15) * 1000 + 123_456,
      makeDeposit: false,
      deposit: undefined,
      extendTimeout: undefined,
    })
  })

  it('takes numbers for amounts, and platforms by their parts', () => {
    const { totalAmount, paymentPlatform } = newAllocationSchema.parse({
      totalAmount: 1e-7,
      paymentPlatform: { token: 'tglm' },
    })
    expect([totalAmount, paymentPlatform]).toEqual([100_000_000_000n, { token: 'tglm' }])
  })

  it.each([['', 'abc', '1e', '0x10', '1,5', '1.0000000000000000001', 'NaN', ' 1', '9'.repeat(121), true, {}, [1]]])(
    'refuses amounts that are none',
    (...texts) => {
      for (const totalAmount of texts) expect(newAllocationSchema.safeParse({ totalAmount }).success).toBe(false)
    },
  )

  it('lowers node ids and names a wrong one', () => {
    expect(nodeIdSchema.parse(ID)).toBe(ID.toLowerCase())
    expect(nodeIdSchema.safeParse('0x12').error?.issues[0]?.message).toContain('"0x12"')
  })

  it('keeps the further keys of a reason, and does not let one change a prototype', () => {
    const reason = { message: 'm', 'golem.requestor.code': 'Success' }
    expect(wire(reasonSchema, reasonSchema.parse(reason))).toEqual(reason)
    const odd = reasonSchema.parse(JSON.parse('{"message":"m","__proto__":{"polluted":1}}'))
    expect((odd as { polluted?: number }).polluted).toBeUndefined()
  })
})

describe('output', () => {
  it('prints an allocation exactly', () => {
    const allocation = {
      allocationId: 'a',
      address: 'x',
      paymentPlatform: 'p',
      totalAmount: 3n * 10n ** 18n,
      spentAmount: 1n,
      remainingAmount: 0n,
      timestamp: 1_000_001,
      timeout: undefined,
      makeDeposit: false,
      notInTheContract: 1,
    }
    expect(JSON.stringify(z.encode(allocationSchema, allocation))).toBe(
      '{"allocationId":"a","address":"x","paymentPlatform":"p","totalAmount":"3","spentAmount":"0.000000000000000001",' +
        '"remainingAmount":"0","timestamp":"1970-01-01T00:00:01.000001Z","makeDeposit":false}',
    )
  })

  it('writes the nulls of command results, and bytes as numbers', () => {
    const result = {
      index: 0,
      result: 'Ok' as const,
      stdout: Uint8Array.of(0, 255),
      stderr: null,
      message: null,
      isBatchFinished: true,
      eventDate: 0,
    }
    expect(wire(exeScriptCommandResultSchema, result)).toEqual({
      ...result,
      stdout: [0, 255],
      eventDate: '1970-01-01T00:00:00.000000Z',
    })
    expect(exeScriptCommandResultSchema.parse(wire(exeScriptCommandResultSchema, result))).toEqual(result)
  })

  it('writes runtime events with underscores and without a zone', () => {
    const kind = {
      progress: {
        step: [1, 2] as [number, number],
        message: null,
        progress: [5, null] as [number, null],
        unit: 'Bytes',
      },
    }
    expect(wire(runtimeEventSchema, { batch_id: 'b', index: 1, timestamp: 0, kind })).toEqual({
      batch_id: 'b',
      index: 1,
      timestamp: '1970-01-01T00:00:00.000000',
      kind,
    })
  })

  it('writes signatures as numbers and details as base64', () => {
    const payment = {
      paymentId: 'p',
      payerId: nodeId(ID),
      payeeId: nodeId(ID),
      payerAddr: '',
      payeeAddr: '',
      paymentPlatform: '',
      amount: 0n,
      timestamp: 0,
      agreementPayments: [{ agreementId: 'a', amount: 1n }],
      activityPayments: [],
      details: Uint8Array.from({ length: 256 }, (_, at) => at),
      signature: Uint8Array.of(7),
    }
    const out = wire(signedPaymentSchema, payment)
    expect([out.signature, out.details]).toEqual([[7], Buffer.from(payment.details).toString('base64')])
    expect('signedBytes' in out).toBe(false)
    expect(base64Schema.safeParse('***').success).toBe(false)
  })

  it('writes version infos with nulls', () => {
    const current = { version: '0.17.6', name: 'n', seen: true, releaseTs: 0, insertionTs: null, updateTs: null }
    expect(wire(versionInfoSchema, { current, pending: null })).toEqual({
      current: { ...current, releaseTs: '1970-01-01T00:00:00.000000' },
      pending: null,
    })
  })
})

describe('events', () => {
  it('are told apart by their type', () => {
    const terminated = {
      eventType: 'AgreementTerminatedEvent',
      eventDate: '1970-01-01T00:00:00.000000Z',
      agreementId: 'a',
      terminator: 'Requestor',
      signature: '',
      reason: { message: 'Finished' },
    }
    expect(wire(agreementOperationEventSchema, agreementOperationEventSchema.parse(terminated))).toEqual(terminated)
    expect(agreementOperationEventSchema.safeParse({ ...terminated, eventType: 'Other' }).success).toBe(false)
    expect(
      providerEventSchema.parse({
        activityId: 'a',
        agreementId: 'b',
        eventType: { CreateActivity: { requestorPubKey: null } },
        eventDate: '2026-01-01T00:00:00Z',
      }).eventType,
    ).toEqual({ CreateActivity: { requestorPubKey: undefined } })
  })

  it('states are pairs of known names', () => {
    expect(activityStateSchema.safeParse({ state: ['Ready', null] }).success).toBe(true)
    expect(activityStateSchema.safeParse({ state: ['Ready', 'Terminated'] }).success).toBe(true)
    for (const state of [['Ready'], ['Gone', null], 'Ready', [null, null]])
      expect(activityStateSchema.safeParse({ state }).success).toBe(false)
  })
})

describe('an exe-script', () => {
  const parse = (...commands: unknown[]) => parseExeScript(JSON.stringify(commands))

  it('takes every form of every command', () => {
    const forms = [
      { deploy: {} },
      {
        deploy: {
          net: [{ id: 'n', ip: '192.168.0.0/24', nodeIp: '192.168.0.2', nodes: { '192.168.0.2': ID }, mask: null }],
          hosts: { a: '1.2.3.4' },
          hostname: 'h',
          volumes: ['/a', '/b'],
          env: { A: 'b' },
          progress: { updateInterval: null, updateStep: null },
        },
      },
      {
        deploy: {
          volumes: {
            '/a': { host: {} },
            '/b': { ram: { size: '10GiB' } },
            '/c': { storage: { size: 5, errors: 'x' } },
          },
        },
      },
      { start: {} },
      { start: { args: null } },
      { run: { entry_point: '/bin/sh', args: ['-c', 'x'], env: { ignored: 1 } } },
      {
        run: {
          entry_point: 'x',
          capture: {
            stdout: { atEnd: { part: { head: 1 }, format: 'string' } },
            stderr: { stream: { stream: 9, limit: 5 } },
          },
        },
      },
      { transfer: { from: 'gftp://a/b', to: 'container:/x', args: {}, fileset: ['*', { includes: ['a'] }] } },
      { terminate: {} },
      { sign: {} },
    ]
    const result = parse(...forms)
    if (!result.ok) throw new Error(result.message)
    expect(result.script.map(commandName)).toEqual(
      'deploy deploy deploy start start run run transfer terminate sign'.split(' '),
    )
    expect(result.script[6]).toMatchObject({
      run: { capture: { stdout: { atEnd: { format: 'str' } }, stderr: { stream: { limit: 5 } } } },
    })
    expect(parse()).toEqual({ ok: true, script: [] })
  })

  it.each([
    ['nonsense', 'not JSON'],
    ['{}', 'not an array'],
    ['[5]', 'command 0'],
    ['[{"start":{}},{"fly":{}}]', 'command 1 of the exe-script: unknown command "fly"'],
    ['[{"start":{},"run":{"entry_point":"x"}}]', 'one key'],
    ['[{"run":{"args":[]}}]', 'run.entry_point'],
    ['[{"transfer":{"from":"x"}}]', 'transfer.to'],
    ['[{"terminate":null}]', 'terminate'],
    ['[{"start":{"args":"x"}}]', 'start.args'],
    ['[{"__proto__":{}}]', 'unknown command "__proto__"'],
    [`[${Array(10_001).fill('{"start":{}}').join()}]`, 'the limit is 10000'],
  ])('refuses %.60s', (text, words) => {
    expect(parseExeScript(text)).toMatchObject({ ok: false, message: expect.stringContaining(words) })
  })
})
