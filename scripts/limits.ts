/** Writes docs/LIMITS.md: every limit of the sources, with its value and its own comment. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const home = join(import.meta.dirname, '..')
const LIMIT =
  /(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*)?^(?:export )?const ([A-Z][A-Z0-9_]*_(?:MAX|MIN|MAX_[A-Z]+))\s*(?::[^=]+)?= ([^\n]+)/gm

export type Limit = { readonly name: string; readonly value: string; readonly file: string; readonly meaning: string }

/** The limits of all packages, by file. */
export function findLimits(): Limit[] {
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'packages'], {
    cwd: home,
  })
  return files
    .toString()
    .split('\n')
    .filter((file) => /^packages\/[^/]+\/src\/.*\.ts$/.test(file) && !/\.test\.ts$|\/testing/.test(file))
    .sort()
    .flatMap((file) =>
      [...readFileSync(join(home, file), 'utf8').matchAll(LIMIT)].map((match) => ({
        name: match[2] ?? '',
        value: (match[3] ?? '').replace(/\s*\/\/.*$/, ''),
        file,
        meaning: (match[1] ?? '').replace(/\s*\n?\s*\*\s?/g, ' ').trim(),
      })),
    )
}

/** The page. */
export function renderLimits(limits: readonly Limit[]): string {
  const packages = [...new Set(limits.map(({ file }) => file.split('/')[1]))]
  const section = (name: string | undefined) => {
    const rows = limits
      .filter(({ file }) => file.split('/')[1] === name)
      .map(({ name, value, file, meaning }) => {
        const where = file.replace(/^packages\/[^/]+\/src\//, '')
        return `| \`${name}\` | \`${value.replaceAll('|', '\\|')}\` | ${meaning.replaceAll('|', '\\|')} | ${where} |`
      })
    return `## ${name}\n\n| limit | value | meaning | where |\n|---|---|---|---|\n${rows.join('\n')}\n`
  }
  return `# Limits

Everything that a peer, a client or a program can fill has a limit. This page is made from the sources by
\`node scripts/limits.ts\`; a test fails when it is out of date. Options that bound things (how many offers an index keeps,
say) are described in each module's \`options.ts\`.

${packages.map(section).join('\n')}`
}

if (import.meta.main) writeFileSync(join(home, 'docs', 'LIMITS.md'), renderLimits(findLimits()))
