/** Runs a program once for each name, on two machines at a time. What fails is done again on another provider. */
import { join } from 'node:path'
import { connect, formatGlm } from '@emet/sdk'
import { wasmPayload } from '@emet/sdk/node'

const { EMET_API_URL: url = 'http://127.0.0.1:7465', EMET_APPKEY: appKey = 'emet-dev' } = process.env
const payload = wasmPayload(join(import.meta.dirname, 'hello.wasm'))
const names = ['Ada', 'Barbara', 'Grace', 'Hedy', 'Karen', 'Radia', 'Sophie', 'Tova']

await using golem = await connect({ url, appKey })
const work = golem.map(
  names,
  async (name, machine, signal) => (await machine.run('main', [name], { signal })).stdout.trim(),
  { payload },
  { machines: 2, budget: { max: '0.2' } },
)
for await (const { value, providerId, attempts } of work)
  console.log(`${value} from ${providerId} at attempt ${attempts}`)

const receipts = work.rentals.map((rental) => rental.receipt())
const accepted = receipts.reduce((sum, receipt) => sum + receipt.accepted, 0n)
console.log(`${receipts.length} machines for ${formatGlm(accepted)} GLM`)
