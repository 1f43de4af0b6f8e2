/**
 * The wasm runtime: WASI preview 1 (and the older `wasi_unstable`) on V8, in a jail.
 *
 * ## Images
 *
 * - A bare module (`.wasm`). The entry point is `main`; any name ending in `.wasm` is taken too. Its root folder `/` is
 *   writable, private to the activity, and holds `/input`, `/output`, `/work`, `/tmp` and the same below `/golem`; a
 *   transfer to `container:/input/scene.txt` puts the file where the program opens `/input/scene.txt`.
 * - Golem's WASI package (`package.ts`): entry points and mount points are those of its manifest.
 *
 * ## Confinement
 *
 * `node:wasi` confines by path, and a guest can defeat that with a link to a folder (`/data/link -> /etc`). So every
 * command runs in a process of its own in a bubblewrap jail (`jail.ts`) with a system call filter (`seccomp.ts`), where
 * there is nothing to escape to: its own volumes, the engine, and the libraries of the engine, read-only.
 *
 * Without bubblewrap the runtime refuses. A provider may allow `confinement: 'in-memory'` instead: one command at a time,
 * on a copy of the volumes in memory (`engine-memory.mjs`), where nothing but V8 itself stands between guest and host.
 */
export { COMMANDS_AT_ONCE_MAX } from './handle.ts'
export { createWasmRuntime, type WasmRuntimeOptions } from './runtime.ts'
