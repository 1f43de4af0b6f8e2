import type { NetIdentity } from '@emet/net'
import type { Signer } from '../identity/index.ts'

/** Our identities as the peer network needs them. */
export function netIdentity(signer: Signer): NetIdentity {
  return {
    get defaultId() {
      return signer.defaultId
    },
    ids: () => signer.ids(),
    handshakeKey: () => signer.privateKey(signer.defaultId),
    sign: (id, digest) => signer.sign(id, digest),
    recover: (digest, signature) => signer.recover(digest, signature),
  }
}
