/** Writes `spec/openapi.json`. Run it after a change of the declarations: `node packages/api/scripts/openapi.ts`. */
import { writeFile } from 'node:fs/promises'
import { openApiText } from '../src/openapi-text.ts'

await writeFile(new URL('../../../spec/openapi.json', import.meta.url), openApiText())
