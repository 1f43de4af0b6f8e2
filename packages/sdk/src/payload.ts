import type { AbortOptions } from '@emet/core'
import type { DaemonClient } from './daemon.ts'
import type { Payload } from './types.ts'

/** The runtime of payloads that name none. Golem wire: WASM runtimes are offered as `wasmtime`. */
export const WASM_RUNTIME = 'wasmtime'

/** The entry point of a bare WASM module. */
export const WASM_MAIN = 'main'

/** A payload as a demand names it. */
export type PreparedPayload = { readonly runtime: string; readonly taskPackage: string | undefined }

/** Files published to providers. The same file may be published by several rentals; it is closed after the last. */
export interface Publications {
  /** Golem wire: `hash:sha3:<hex>:<url>`. */
  publish(source: Uint8Array | { readonly path: string }, options: AbortOptions): Promise<Publication>
}

export type Publication = {
  readonly url: string
  readonly sha3: string
  readonly sizeBytes: number
  close(): Promise<void>
}

export function createPublications(client: DaemonClient): Publications {
  const uses = new Map<string, number>()
  const close = async (url: string) => {
    const left = (uses.get(url) ?? 1) - 1
    if (left > 0) return void uses.set(url, left)
    uses.delete(url)
    await client.emet.files.close({ query: { url } })
  }
  return {
    publish: async (source, { signal }) => {
      const published =
        source instanceof Uint8Array
          ? await client.emet.files.publishContent({ body: source, signal })
          : await client.emet.files.publish({ body: { path: source.path }, signal })
      uses.set(published.url, (uses.get(published.url) ?? 0) + 1)
      let isOpen = true
      return {
        ...published,
        close: async () => {
          if (!isOpen) return
          isOpen = false
          await close(published.url)
        },
      }
    },
  }
}

/** Publishes what must be published, and says how a demand names the payload. `close` when no provider needs it any more. */
export async function preparePayload(
  payload: Payload,
  publications: Publications,
  options: AbortOptions,
): Promise<PreparedPayload & { close(): Promise<void> }> {
  const runtime = payload.runtime ?? WASM_RUNTIME
  if ('url' in payload) {
    return { runtime, taskPackage: `hash:sha3:${payload.sha3}:${payload.url}`, close: async () => {} }
  }
  if (!('bytes' in payload) && !('path' in payload)) return { runtime, taskPackage: undefined, close: async () => {} }
  const source = 'bytes' in payload ? payload.bytes : { path: payload.path }
  const { url, sha3, close } = await publications.publish(source, options)
  return { runtime, taskPackage: `hash:sha3:${sha3}:${url}`, close }
}
