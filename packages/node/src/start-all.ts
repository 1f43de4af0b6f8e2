import type { Logger, Service } from '@emet/core'

/**
 * Starts services one after the other; when one fails, those before it are stopped and its error is thrown. The returned
 * function stops them in reverse; one that fails to stop is logged and does not keep the others from stopping.
 */
export async function startAll(services: readonly Service[], logger: Logger): Promise<() => Promise<void>> {
  const started: Service[] = []
  const stop = async () => {
    for (const service of started.splice(0).reverse()) {
      await service.stop().catch((error) => logger.error('a part of the daemon did not stop in order', { error }))
    }
  }
  try {
    for (const service of services) {
      started.push(service)
      await service.start()
    }
  } catch (error) {
    await stop()
    throw error
  }
  return stop
}

/** Something that runs already and only has to be stopped. */
export const started = (stop: () => Promise<void>): Service => ({ start: async () => {}, stop })
