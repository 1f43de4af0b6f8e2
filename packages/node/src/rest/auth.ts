/** Who calls. Golem wire: spec/rest-api.md §1.2. */
import type { RestCaller } from '@emet/api'
import type { AppKey } from '../identity/types.ts'

/** Paths that need no key. Matched as a prefix of the request's target, query included. */
const OPEN_PREFIXES = ['/metrics-api', '/version/get', '/dashboard']

export type AuthResult =
  | { readonly kind: 'open' }
  | { readonly kind: 'known'; readonly caller: RestCaller }
  | { readonly kind: 'refused'; readonly message: string }

/** Decides by the request's target and its `Authorization` header. */
export function authenticate(
  target: string,
  authorization: string | undefined,
  findAppKey: (key: string) => AppKey | undefined,
): AuthResult {
  if (OPEN_PREFIXES.some((prefix) => target.startsWith(prefix))) return { kind: 'open' }
  const key = bearerOf(authorization) ?? queryOf(target).get('authToken') ?? undefined
  if (key === undefined) return { kind: 'refused', message: 'Missing application key' }
  const known = findAppKey(key)
  if (!known) return { kind: 'refused', message: 'Invalid application key' }
  return { kind: 'known', caller: { nodeId: known.nodeId, keyName: known.name, role: known.role } }
}

/** The key of `Authorization: Bearer <key>`. */
export function bearerOf(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
}

function queryOf(target: string): URLSearchParams {
  const at = target.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : target.slice(at + 1))
}
