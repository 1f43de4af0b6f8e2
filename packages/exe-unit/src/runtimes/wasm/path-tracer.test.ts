import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '@emet/core'
import { describe, expect, it } from 'vitest'
import { finish, hostPath } from '../../testing.ts'
import { createWasmRuntime } from './index.ts'

const EXAMPLE = fileURLToPath(new URL('../../../../../examples/path-tracer', import.meta.url))

describe('the path tracer of the demo', () => {
  it('is what its checksum says, and what its source compiles to where there is a compiler', async () => {
    const sum = createHash('sha256')
      .update(await readFile(join(EXAMPLE, 'path-tracer.wasm')))
      .digest('hex')
    expect((await readFile(join(EXAMPLE, 'path-tracer.wasm.sha256'), 'utf8')).split(' ')[0]).toBe(sum)
    execFileSync(join(EXAMPLE, 'build.sh'), ['--check'], { stdio: 'pipe' })
  })

  it('renders tiles that join to the same picture', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'emet-tracer-'))
    const runtime = createWasmRuntime({ clock: systemClock })
    const imageFile = join(EXAMPLE, 'path-tracer.wasm')
    const instance = await runtime.deploy({ imageFile, folder, limits: {}, volumes: [], env: {}, network: [] })
    try {
      await copyFile(join(EXAMPLE, 'scenes/default.txt'), join(hostPath(instance, '/input'), 'scene.txt'))
      const render = async (tile: string, name: string) => {
        const size = ['--width', '48', '--height', '30', '--samples', '2', '--tile', tile, '--raw']
        const args = ['--scene', '/input/scene.txt', ...size, '--out', `/output/${name}`]
        const { stdout, end } = await finish(await instance.run({ entryPoint: 'main', args }))
        expect(end).toEqual({ kind: 'exited', code: 0 })
        expect(stdout).toMatch(/progress 100\n$/)
        return readFile(join(hostPath(instance, '/output'), name))
      }
      const whole = await render('0,0,48,30', 'whole')
      const upper = await render('0,0,48,11', 'upper')
      const lower = await render('0,11,48,30', 'lower')
      expect(Buffer.concat([upper, lower]).equals(whole)).toBe(true)
      expect(new Set(whole).size).toBeGreaterThan(100)
      const args = ['--scene', '/nowhere', '--out', '/output/x']
      const { stderr, end } = await finish(await instance.run({ entryPoint: 'main', args }))
      expect({ stderr, end }).toMatchObject({
        stderr: 'path-tracer: cannot open the scene: /nowhere\n',
        end: { kind: 'exited', code: 2 },
      })
    } finally {
      await instance.stop('done')
      await rm(folder, { recursive: true, force: true })
    }
  })
})
