/** Commands over identities and app keys. */
import { readFileSync, writeFileSync } from 'node:fs'
import { APP_KEY_ROLES, type AppKeyRole } from '@emet/api'
import { formatInstant } from '@emet/core'
import { CliError } from '../errors.ts'
import type { Action } from './context.ts'
import { requireNodeId } from './query.ts'
import { readPasswordFile } from './secrets.ts'

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

export const idList: Action = async ({ client, output, signal }) => {
  const identities = await client().emet.identity.list({ signal })
  output.table(
    output.isJson
      ? identities
      : identities.map(({ nodeId, alias, isDefault, isLocked }) => ({
          id: nodeId,
          alias,
          default: isDefault ? 'yes' : '',
          locked: isLocked ? 'yes' : '',
        })),
  )
}

export const idShow: Action = async ({ client, output, signal }, [name]) => {
  const identities = await client().emet.identity.list({ signal })
  const found = identities.find(({ nodeId, alias, isDefault }) =>
    name === undefined ? isDefault : nodeId === name.toLowerCase() || alias === name,
  )
  if (!found) throw new CliError('not-found', `no identity "${name}"; see \`emet id list\``)
  output.record(found)
}

export const idCreate: Action = async ({ client, output, signal }, _args, flags) => {
  const body = {
    alias: text(flags['alias']),
    password: readPassword(flags),
    privateKey: readPrivateKey(flags),
    setDefault: flags['setDefault'] === true,
  }
  const identity = await client().emet.identity.create({ body, signal })
  output.done(identity.nodeId, identity)
}

export const idImport: Action = async ({ client, output, signal }, [file = ''], flags) => {
  const keystore = JSON.parse(readFileSync(file, 'utf8'))
  const body = { keystore, password: readPassword(flags) ?? '', alias: text(flags['alias']) }
  const identity = await client().emet.identity.importKeystore({ body, signal })
  output.done(identity.nodeId, identity)
}

export const idExport: Action = async ({ client, output, signal }, [id = ''], flags) => {
  const keystore = await client().emet.identity.exportKeystore({ params: { nodeId: requireNodeId(id) }, signal })
  const file = text(flags['out'])
  if (file === undefined) return output.line(JSON.stringify(keystore))
  writeFileSync(file, JSON.stringify(keystore), { mode: 0o600 })
  output.done(`written to ${file}`)
}

export const idUpdate: Action = async ({ client, output, signal }, [id = ''], flags) => {
  const body = { alias: text(flags['alias']), setDefault: flags['setDefault'] === true }
  output.record(await client().emet.identity.update({ params: { nodeId: requireNodeId(id) }, body, signal }))
}

export const idDrop: Action = async ({ client, output, signal }, [id = '']) => {
  await client().emet.identity.drop({ params: { nodeId: requireNodeId(id) }, signal })
  output.done(`identity ${id} is deleted`)
}

export const idLock: Action = async ({ client, output, signal }, [id = '']) => {
  await client().emet.identity.lock({ params: { nodeId: requireNodeId(id) }, signal })
  output.done(`identity ${id} is locked`)
}

export const idUnlock: Action = async ({ client, output, signal }, [id = ''], flags) => {
  const body = { password: readPassword(flags) ?? '' }
  await client().emet.identity.unlock({ params: { nodeId: requireNodeId(id) }, body, signal })
  output.done(`identity ${id} is unlocked`)
}

export const appKeyList: Action = async ({ client, output, signal }) => {
  const appKeys = await client().emet.identity.listAppKeys({ signal })
  output.table(
    output.isJson
      ? appKeys
      : appKeys.map(({ name, key, role, nodeId, created }) => ({
          name,
          key,
          role,
          id: nodeId,
          created: formatInstant(created).slice(0, 19),
        })),
  )
}

export const appKeyCreate: Action = async ({ client, output, signal }, [name = ''], flags) => {
  const id = text(flags['id'])
  const body = {
    name,
    nodeId: id === undefined ? undefined : requireNodeId(id),
    role: readRole(text(flags['role'])),
    allowOrigins: flags['allowOrigin'] as string[] | undefined,
  }
  const appKey = await client().emet.identity.createAppKey({ body, signal })
  output.done(appKey.key, appKey.key)
}

export const appKeyDrop: Action = async ({ client, output, signal }, [name = '']) => {
  await client().emet.identity.dropAppKey({ params: { name }, signal })
  output.done(`app key "${name}" is deleted`)
}

function readRole(given: string | undefined): AppKeyRole | undefined {
  const role = APP_KEY_ROLES.find((known) => known === given)
  if (given === undefined || role) return role
  throw new CliError('bad-argument', `--role is ${JSON.stringify(given)}, not one of ${APP_KEY_ROLES.join(', ')}`)
}

/** Secrets come from files, never from the command line, where every user of the machine could read them. */
function readPassword(flags: Readonly<Record<string, unknown>>): string | undefined {
  const file = text(flags['passwordFile'])
  return file === undefined ? undefined : readPasswordFile(file)
}

function readPrivateKey(flags: Readonly<Record<string, unknown>>): string | undefined {
  const file = text(flags['privateKeyFile'])
  return file === undefined ? undefined : readFileSync(file, 'utf8').trim()
}
