import { allApis } from './all.ts'
import { openApiDocument } from './openapi.ts'

/** The version of the contract: our own additions count in the last two numbers. */
export const CONTRACT_VERSION = '0.17.6'

/** The text of `spec/openapi.json`. */
export const openApiText = (): string => `${JSON.stringify(openApiDocument(allApis, CONTRACT_VERSION), null, 1)}\n`
