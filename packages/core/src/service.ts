/** Options of everything that can wait. */
export type AbortOptions = { signal?: AbortSignal | undefined }

/** Something with a life. `stop()` resolves when nothing of it is running any more; stopping twice is harmless. */
export interface Service {
  start(): Promise<void>
  stop(): Promise<void>
}

/** Undoes a registration. Calling it twice is harmless. */
export type Unregister = () => void
