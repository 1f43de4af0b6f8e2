/** Rents a machine, runs a program on it, fetches the file that it has written, and says what it cost. */
import { join } from 'node:path'
import { connect, formatGlm } from '@emet/sdk'
import { wasmPayload } from '@emet/sdk/node'

const { EMET_API_URL: url = 'http://127.0.0.1:7465', EMET_APPKEY: appKey = 'emet-dev' } = process.env
const payload = wasmPayload(join(import.meta.dirname, 'hello.wasm'))

await using golem = await connect({ url, appKey })
await using machine = await golem.rent({ payload }, { budget: { max: '0.1' } })
for await (const line of machine.run('main', ['world', 'Golem'])) console.log(line)
const greeting = await machine.get('/output/greeting.txt')
const receipt = await machine.close()
console.log(`${greeting.length} bytes from ${receipt.providerName} for ${formatGlm(receipt.accepted)} GLM`)
