/** Secrets from files: on the command line, every user of the machine could read them. */
import { readFileSync } from 'node:fs'
import { messageOf } from '@emet/core'
import { CliError } from '../errors.ts'

/** The password in a file, without the line end that editors leave. Throws `bad-argument` when it cannot be read. */
export function readPasswordFile(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (cause) {
    throw new CliError(
      'bad-argument',
      `the password file ${file} cannot be read: ${messageOf(cause)}`,
      { file },
      { cause },
    )
  }
}
