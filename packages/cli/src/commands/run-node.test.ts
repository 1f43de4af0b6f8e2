import { DEV_CHAIN_ADDRESSES, devChainEnvironment } from '@emet/contracts'
import { expect, test } from 'vitest'
import { paymentVariables } from './run-node.ts'

test('of the environment only what overrides payment networks goes to the daemon, and no secret', () => {
  const chain = {
    rpcUrl: 'http://127.0.0.1:1',
    chainId: 31_337,
    gasFaucetUrl: 'http://127.0.0.1:2',
    addresses: DEV_CHAIN_ADDRESSES,
  }
  const wanted = devChainEnvironment(chain, ['hoodi', 'polygon'])
  const secrets = { EMET_AUTOCONF_ID_SECRET: 'k', YAGNA_APPKEY: 'a', PATH: '/bin', HOODI_PASSWORD: 'p' }
  expect(paymentVariables({ ...wanted, ...secrets, MISSING_GETH_ADDR: undefined })).toEqual(wanted)
})
