/** Randomness as a port, so that a seed replays a run. */
export interface Random {
  /** `count` unpredictable bytes. */
  bytes(count: number): Uint8Array
}

/** The randomness of a real process: the platform's cryptographic source. */
export const systemRandom: Random = {
  bytes: (count) => {
    const out = new Uint8Array(count)
    for (let at = 0; at < count; at += 65_536) crypto.getRandomValues(out.subarray(at, at + 65_536))
    return out
  },
}

/** A number in [0, 1) with 32 bits of entropy. */
export function randomFraction(random: Random): number {
  const [a = 0, b = 0, c = 0, d = 0] = random.bytes(4)
  return (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) / 2 ** 32
}

/** A version 4 UUID: `xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx`. */
export function randomUuid(random: Random): string {
  const hex = randomHexId(random)
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** A version 4 UUID without dashes, 32 hex digits: the form of activity, batch and network ids. */
export function randomHexId(random: Random): string {
  const bytes = random.bytes(16)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
