import { describe, expect, it } from 'vitest'
import { parseNetAddress } from './address.ts'

const A = `0x${'a'.repeat(40)}`
const B = `0x${'b'.repeat(40)}`

describe('addresses of other nodes', () => {
  it.each([
    [`/net/${B}/market/x`, undefined, `/net/${B}/market/x`, '/public/market/x'],
    [`/udp/net/${B}/vpn/1/raw`, undefined, `/udp/net/${B}/vpn/1/raw`, '/public/vpn/1/raw'],
    [`/transfer/net/${B}/gftp/h/GetChunk`, undefined, `/transfer/net/${B}/gftp/h/GetChunk`, '/public/gftp/h/GetChunk'],
    [`/from/${A}/to/${B}/vpn/VpnControl`, A, `/net/${B}/vpn/VpnControl`, '/public/vpn/VpnControl'],
    [`/udp/from/${A}/to/${B}/x`, A, `/udp/net/${B}/x`, '/public/x'],
    [`/transfer/from/${A}/to/${B}/x/y`, A, `/transfer/net/${B}/x/y`, '/public/x/y'],
    [`/net/${B.toUpperCase().replace('0X', '0x')}/x`, undefined, `/net/${B}/x`, '/public/x'],
  ])('reads %s', (address, from, wireAddress, publicAddress) => {
    expect(parseNetAddress(address)).toEqual({ from, to: B, wireAddress, publicAddress })
  })
  it.each([
    `/net/${B}`,
    `/net/${B}/`,
    '/net/0x12/x',
    `/net/${B}0/x`,
    `/net/0x${'g'.repeat(40)}/x`,
    `/from/${A}/to/${B}`,
    `/from/nobody/to/${B}/x`,
    `/from/${A}/${B}/x`,
    `/public/net/${B}/x`,
  ])('refuses %s', (address) => {
    expect(parseNetAddress(address)).toBeUndefined()
  })
})
