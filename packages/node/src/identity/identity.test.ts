import { createCipheriv, scryptSync } from 'node:crypto'
import { hasCode } from '@emet/core'
import { createSeededRandom, createVirtualClock } from '@emet/core/testing'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { expect, test } from 'vitest'
import { openDatabase } from '../store/index.ts'
import { createIdentity, createIdentityStore, IdentityError, nodeIdOf, parsePrivateKey, signDigest } from './index.ts'
import { openKey, sealKey } from './keystore.ts'

const SECRET = 'c19a9a827c9efb910e3e4efb955b57d072775c5ebb93dbdd4d6856d97e555eca'
const NODE_ID = '0x3a879834a9089353bdc61fa92f8b3ab4e00f43c4'

const open = (db = openDatabase({ path: ':memory:' }), options = {}) => {
  const random = createSeededRandom(7)
  return createIdentity({ store: createIdentityStore(db), clock: createVirtualClock(), random }, options)
}

test('keys give the known address and the known signature (Golem wire vectors)', () => {
  const key = parsePrivateKey(SECRET)
  expect(nodeIdOf(key)).toBe(NODE_ID)
  const digest = Buffer.from('95d730b73b793055e8ad1e2353fe3228d3460ea3ddf46493e5ffe7db42b84c3f', 'hex')
  expect(Buffer.from(signDigest(key, digest)).toString('hex')).toBe(
    '00474c661b9e702a70162781e7e8bfe3fae6d72bc8fc1e3684a03d042567a24f624d1390dc35e9ba97cd883744570ea249b01fd04ed528eee9aac86f6f8014b397',
  )
})

test('a default identity is made once and survives a restart', async () => {
  const db = openDatabase({ path: ':memory:' })
  const first = open(db)
  await first.start()
  const id = first.defaultId
  const { key } = first.createAppKey({ name: 'agent' })
  const again = open(db)
  await again.start()
  expect(again.defaultId).toBe(id)
  expect(again.findAppKey(key)).toMatchObject({ name: 'agent', nodeId: id })
  expect(again.recover(new Uint8Array(32).fill(1), await again.sign(id, new Uint8Array(32).fill(1)))).toBe(id)
})

test('an identity with a password starts locked, refuses to sign, and unlocks', async () => {
  const db = openDatabase({ path: ':memory:' })
  const before = open(db)
  await before.start()
  const { nodeId } = await before.create({ alias: 'safe', password: 'pass' })
  const after = open(db)
  await after.start()
  expect(after.list().find((identity) => identity.nodeId === nodeId)).toMatchObject({ isLocked: true, alias: 'safe' })
  await expect(after.sign(nodeId, new Uint8Array(32))).rejects.toMatchObject({ code: 'locked' })
  await expect(after.unlock(nodeId, 'wrong')).rejects.toMatchObject({ code: 'wrong-password' })
  await after.unlock(nodeId, 'pass')
  expect(await after.sign(nodeId, new Uint8Array(32).fill(9))).toHaveLength(65)
})

test('the autoconfigured identity and app key are never written down', async () => {
  const db = openDatabase({ path: ':memory:' })
  const identity = open(db, { autoconfSecret: SECRET, autoconfAppKey: 'try_golem' })
  await identity.start()
  expect(identity.defaultId).toBe(NODE_ID)
  expect(identity.findAppKey('try_golem')).toMatchObject({ name: 'autoconfigured', nodeId: NODE_ID })
  expect(db.all('SELECT * FROM identity')).toEqual([])
  expect(db.all('SELECT * FROM app_key')).toEqual([])
})

test('app key names belong to one identity', async () => {
  const identity = open()
  await identity.start()
  const other = await identity.create({})
  const made = identity.createAppKey({ name: 'agent' })
  expect(identity.createAppKey({ name: 'agent' })).toEqual(made)
  expect(() => identity.createAppKey({ name: 'agent', nodeId: other.nodeId })).toThrow(IdentityError)
  identity.dropAppKey('agent')
  expect(identity.findAppKey(made.key)).toBeUndefined()
  expect(() => identity.dropAppKey('agent')).toThrow(/emet app-key list/)
})

test('dropping an identity takes its app keys along; the default one stays', async () => {
  const identity = open()
  await identity.start()
  const other = await identity.create({ alias: 'second' })
  const { key } = identity.createAppKey({ name: 'agent', nodeId: other.nodeId })
  expect(() => identity.drop(identity.defaultId)).toThrow(/default/)
  identity.drop(other.nodeId)
  expect(identity.findAppKey(key)).toBeUndefined()
  expect(() => identity.drop(other.nodeId)).toThrow(/no identity/)
})

test('reads scrypt keystores, and refuses hostile or damaged ones', async () => {
  const key = parsePrivateKey(SECRET)
  const sealed = await sealKey(key, 'x', createSeededRandom(1))
  expect(await openKey(sealed, 'x')).toEqual(key)
  await expect(openKey({ ...sealed, version: 1 }, 'x')).rejects.toMatchObject({ code: 'bad-keystore' })
  const greedy = {
    ...sealed.crypto,
    kdf: 'scrypt' as const,
    kdfparams: { dklen: 32, salt: '00', n: 2 ** 30, r: 8, p: 1 },
  }
  await expect(openKey({ ...sealed, crypto: greedy }, 'x')).rejects.toMatchObject({ code: 'bad-keystore' })
  const kdfparams = { dklen: 32, salt: 'ab0c7876', n: 4096, r: 8, p: 1 }
  const derived = scryptSync('testpassword', Buffer.from('ab0c7876', 'hex'), 32, { N: 4096, r: 8, p: 1 })
  const cipher = createCipheriv('aes-128-ctr', derived.subarray(0, 16), Buffer.alloc(16))
  const ciphertext = cipher.update(key)
  const mac = Buffer.from(keccak_256(Buffer.concat([derived.subarray(16), ciphertext]))).toString('hex')
  const crypto = {
    ...sealed.crypto,
    cipherparams: { iv: '00'.repeat(16) },
    ciphertext: ciphertext.toString('hex'),
    mac,
  }
  expect(await openKey({ ...sealed, crypto: { ...crypto, kdf: 'scrypt', kdfparams } }, 'testpassword')).toEqual(key)
})

test('errors carry codes', () => {
  try {
    parsePrivateKey('zz')
    expect.unreachable()
  } catch (error) {
    expect(hasCode(error, IdentityError, 'bad-private-key')).toBe(true)
  }
})

test('what has a password the daemon does not know is never made the default: the next start would fail', async () => {
  const db = openDatabase({ path: ':memory:' })
  const identity = open(db)
  await identity.start()
  const first = identity.defaultId
  const refused = { code: 'default-locked', message: expect.stringContaining('--default-password-file') }
  await expect(identity.create({ password: 'pass', setDefault: true })).rejects.toMatchObject(refused)
  const { nodeId } = await identity.create({ password: 'pass' })
  await expect(identity.update(nodeId, { setDefault: true })).rejects.toMatchObject(refused)
  const keystore = await sealKey(parsePrivateKey(SECRET), 'other', createSeededRandom(3))
  await expect(identity.importKeystore({ keystore, password: 'other', setDefault: true })).rejects.toMatchObject(
    refused,
  )
  expect(identity.list()).toHaveLength(2)
  const again = open(db)
  await again.start()
  expect(again.defaultId).toBe(first)
})

test('the default identity may have the password that the daemon is started with', async () => {
  const db = openDatabase({ path: ':memory:' })
  const identity = open(db, { defaultPassword: 'pass' })
  await identity.start()
  const made = await identity.create({ password: 'pass', setDefault: true })
  expect(identity.defaultId).toBe(made.nodeId)
  const again = open(db, { defaultPassword: 'pass' })
  await again.start()
  expect(await again.sign(made.nodeId, new Uint8Array(32).fill(1))).toHaveLength(65)
  await expect(open(db).start()).rejects.toMatchObject({ code: 'default-locked' })
  await expect(open(db, { defaultPassword: 'wrong' }).start()).rejects.toMatchObject({ code: 'default-locked' })
})

test('making a locked identity the default unlocks it', async () => {
  const identity = open(undefined, { defaultPassword: 'pass' })
  await identity.start()
  const { nodeId } = await identity.create({ password: 'pass' })
  identity.lock(nodeId)
  expect(await identity.update(nodeId, { setDefault: true })).toMatchObject({ isDefault: true, isLocked: false })
})

test('a locked identity that was made beside the autoconfigured one does not become the default without it', async () => {
  const db = openDatabase({ path: ':memory:' })
  const withSecret = open(db, { autoconfSecret: SECRET })
  await withSecret.start()
  const { nodeId } = await withSecret.create({ password: 'pass' })
  const without = createIdentity(
    { store: createIdentityStore(db), clock: createVirtualClock(), random: createSeededRandom(8) },
    {},
  )
  await without.start()
  expect([NODE_ID, nodeId]).not.toContain(without.defaultId)
  expect(without.list().find(({ isDefault }) => isDefault)).toMatchObject({ isLocked: false })
})

test('app keys have a role, which a second request cannot change', async () => {
  const db = openDatabase({ path: ':memory:' })
  const identity = open(db, { autoconfAppKey: 'try_golem' })
  await identity.start()
  expect(identity.createAppKey({ name: 'boss' }).role).toBe('manager')
  expect(identity.findAppKey('try_golem')?.role).toBe('manager')
  const { key } = identity.createAppKey({ name: 'agent', role: 'agent' })
  expect(identity.createAppKey({ name: 'agent', role: 'agent' }).key).toBe(key)
  expect(() => identity.createAppKey({ name: 'agent' })).toThrow(/in the role agent/)
  const again = open(db)
  await again.start()
  expect(again.findAppKey(key)?.role).toBe('agent')
})
