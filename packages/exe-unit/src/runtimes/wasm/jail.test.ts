import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { prepareJail, startJailed } from './jail.ts'
import { seccompProgram } from './seccomp.ts'

/** Runs JavaScript in the jail, as a guest could that has broken out of WebAssembly; returns what it reports. */
async function inJail(script: string): Promise<unknown> {
  const folder = await mkdtemp(join(tmpdir(), 'emet-jail-'))
  try {
    const file = join(folder, 'probe.mjs')
    await writeFile(file, script)
    const jail = await prepareJail({ node: process.execPath })
    const jailed = startJailed(jail, { script: file, argument: '', mounts: [], engineFlags: ['--no-warnings'] })
    let text = ''
    for await (const chunk of jailed.stdout) text += chunk
    await jailed.ended
    return JSON.parse(text)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

describe('the jail, against a program that has all of Node', () => {
  it('has no files but the engine', async () => {
    const seen = await inJail(`
      import fs from 'node:fs'
      const tryTo = (f) => { try { return f() } catch (e) { return e.code } }
      console.log(JSON.stringify({
        root: fs.readdirSync('/').sort(),
        etc: tryTo(() => fs.readdirSync('/etc')), proc: tryTo(() => fs.readdirSync('/proc')),
        dev: tryTo(() => fs.readdirSync('/dev')), home: tryTo(() => fs.readdirSync(${JSON.stringify(process.cwd())})),
        write: tryTo(() => fs.writeFileSync('/x', '')), app: tryTo(() => fs.writeFileSync('/app/engine.mjs', '')),
        env: process.env, uid: process.getuid(), gid: process.getgid(),
      }))`)
    expect(seen).toMatchObject({ etc: 'ENOENT', proc: 'ENOENT', dev: 'ENOENT', home: 'ENOENT', uid: 65534, gid: 65534 })
    expect(seen).toMatchObject({
      write: expect.stringMatching(/EROFS|EACCES/),
      app: expect.stringMatching(/EROFS|EACCES/),
    })
    expect((seen as { env: object }).env).not.toHaveProperty('HOME')
    expect((seen as { root: string[] }).root.filter((name) => !/^(app|node|lib|lib64|usr)$/.test(name))).toEqual([])
  })

  it('makes no sockets and no processes, but threads', async () => {
    const seen = await inJail(`
      import net from 'node:net'
      import { spawnSync } from 'node:child_process'
      import { Worker } from 'node:worker_threads'
      import { once } from 'node:events'
      const socket = net.connect(80, '127.0.0.1')
      const [error] = await once(socket, 'error')
      const spawned = spawnSync('/node', ['--version'])
      const worker = new Worker('require("worker_threads").parentPort.postMessage(42)', { eval: true })
      const [answer] = await once(worker, 'message')
      console.log(JSON.stringify({ socket: error.code, spawned: spawned.error?.code ?? 'ran', answer }))
      process.exit(0)`)
    expect(seen).toEqual({ socket: 'ENOSYS', spawned: 'ENOSYS', answer: 42 })
  })

  it('has a filter for the processors it knows, and says so for others', () => {
    for (const arch of ['x64', 'arm64']) expect(seccompProgram(arch).length % 8).toBe(0)
    expect(() => seccompProgram('mips')).toThrow(/no system call filter for the processor mips/)
  })
})
