import { describe, expect, it } from 'vitest'
import { parseAgreement, property } from './agreement.ts'

const REQUESTOR = `0x${'AA'.repeat(20)}`
const flat = {
  agreementId: 'a',
  demand: {
    requestorId: REQUESTOR,
    properties: { 'golem.srv.comp.task_package': 'hash:sha3:00:http://x', 'golem.srv.comp.expiration': 5 },
  },
  offer: { properties: { 'golem.inf.mem.gib': 0.5, 'golem.com.usage.vector': ['b', 'a'], 'golem.inf.storage.gib': 2 } },
}

describe('the agreement', () => {
  it('is read alike from flat, nested and mixed properties', () => {
    const nested = {
      ...flat,
      demand: {
        requestorId: REQUESTOR,
        properties: { golem: { srv: { comp: { task_package: 'hash:sha3:00:http://x', expiration: 5 } } } },
      },
      offer: {
        properties: {
          golem: { 'inf.mem': { gib: 0.5 }, inf: { storage: { gib: 2 } }, com: { usage: { vector: ['b', 'a'] } } },
        },
      },
    }
    expect(parseAgreement(nested)).toEqual(parseAgreement(flat))
    expect(parseAgreement(flat)).toMatchObject({
      requestorId: REQUESTOR.toLowerCase(),
      memoryBytes: 2 ** 29,
      storageBytes: 2 ** 31,
      usageVector: ['b', 'a'],
      expiresAtMs: 5,
    })
    expect(property({ a: { '@tag': 1, b: 2 } }, 'a')).toBe(1)
  })

  it('takes the image from a payload manifest before the task package', () => {
    const manifest = {
      payload: [
        { platform: { arch: 'sparc' }, urls: ['http://no'], hash: 'sha3:00' },
        { urls: ['http://yes'], hash: 'sha3:11' },
      ],
    }
    const payload = Buffer.from(JSON.stringify(manifest)).toString('base64')
    const demand = {
      requestorId: REQUESTOR,
      properties: { ...flat.demand.properties, 'golem.srv.comp.payload': payload },
    }
    expect(parseAgreement({ ...flat, demand }).taskPackage).toBe('hash:sha3:11:http://yes')
  })

  it('is refused with the field that is wrong', () => {
    const bad: [unknown, string][] = [
      [{}, 'demand'],
      [{ ...flat, demand: { ...flat.demand, requestorId: 'me' } }, 'demand.requestorId is "me"'],
      [{ ...flat, offer: { properties: { 'golem.com.usage.vector': 'x' } } }, 'golem.com.usage.vector'],
      [
        { ...flat, demand: { ...flat.demand, properties: { 'golem.srv.comp.payload': '!' } } },
        'golem.srv.comp.payload',
      ],
    ]
    for (const [json, message] of bad) expect(() => parseAgreement(json), message).toThrow(message)
  })
})
