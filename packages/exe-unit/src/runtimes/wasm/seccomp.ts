/**
 * The system call filter of the jailed engine: an allow list, as a classic BPF program for `bwrap --seccomp`.
 *
 * What is not listed answers `ENOSYS`, so that the C library falls back to older calls. Two calls are special:
 * `clone` may make threads only (no processes), and `clone3`, whose flags a filter cannot see, always answers `ENOSYS`.
 * `execve` must stay, as bubblewrap starts the engine with it; there is no other program in the jail to execute.
 * No call of the network family that makes a socket is listed: the streams that the engine inherits are all it has.
 */
import { RuntimeError } from '../../errors.ts'

/** [name, number on x86-64, number on arm64] from Linux' `asm/unistd_64.h` and `asm-generic/unistd.h`. */
const ALLOWED: readonly (readonly [string, number | undefined, number | undefined])[] = [
  ['read', 0, 63],
  ['write', 1, 64],
  ['readv', 19, 65],
  ['writev', 20, 66],
  ['pread64', 17, 67],
  ['pwrite64', 18, 68],
  ['preadv', 295, 69],
  ['pwritev', 296, 70],
  ['open', 2, undefined],
  ['openat', 257, 56],
  ['close', 3, 57],
  ['close_range', 436, 436],
  ['lseek', 8, 62],
  ['fstat', 5, 80],
  ['stat', 4, undefined],
  ['lstat', 6, undefined],
  ['newfstatat', 262, 79],
  ['statx', 332, 291],
  ['access', 21, undefined],
  ['faccessat', 269, 48],
  ['faccessat2', 439, 439],
  ['readlink', 89, undefined],
  ['readlinkat', 267, 78],
  ['getdents64', 217, 61],
  ['mkdir', 83, undefined],
  ['mkdirat', 258, 34],
  ['unlink', 87, undefined],
  ['unlinkat', 263, 35],
  ['rmdir', 84, undefined],
  ['rename', 82, undefined],
  ['renameat', 264, 38],
  ['renameat2', 316, 276],
  ['link', 86, undefined],
  ['linkat', 265, 37],
  ['symlink', 88, undefined],
  ['symlinkat', 266, 36],
  ['ftruncate', 77, 46],
  ['fallocate', 285, 47],
  ['fsync', 74, 82],
  ['fdatasync', 75, 83],
  ['fadvise64', 221, 223],
  ['utimensat', 280, 88],
  ['fcntl', 72, 25],
  ['dup', 32, 23],
  ['dup3', 292, 24],
  ['ioctl', 16, 29],
  ['getcwd', 79, 17],
  ['umask', 95, 166],
  ['poll', 7, undefined],
  ['ppoll', 271, 73],
  ['epoll_create1', 291, 20],
  ['epoll_ctl', 233, 21],
  ['epoll_pwait', 281, 22],
  ['epoll_wait', 232, undefined],
  ['eventfd2', 290, 19],
  ['pipe2', 293, 59],
  ['mmap', 9, 222],
  ['munmap', 11, 215],
  ['mprotect', 10, 226],
  ['mremap', 25, 216],
  ['madvise', 28, 233],
  ['brk', 12, 214],
  ['membarrier', 324, 283],
  ['futex', 202, 98],
  ['set_robust_list', 273, 99],
  ['rseq', 334, 293],
  ['set_tid_address', 218, 96],
  ['arch_prctl', 158, undefined],
  ['clone', 56, 220],
  ['exit', 60, 93],
  ['exit_group', 231, 94],
  ['wait4', 61, 260],
  ['rt_sigaction', 13, 134],
  ['rt_sigprocmask', 14, 135],
  ['rt_sigreturn', 15, 139],
  ['sigaltstack', 131, 132],
  ['tgkill', 234, 131],
  ['getpid', 39, 172],
  ['gettid', 186, 178],
  ['getuid', 102, 174],
  ['geteuid', 107, 175],
  ['getgid', 104, 176],
  ['getegid', 108, 177],
  ['capget', 125, 90],
  ['prctl', 157, 167],
  ['prlimit64', 302, 261],
  ['getrlimit', 97, 163],
  ['uname', 63, 160],
  ['sysinfo', 99, 179],
  ['getrandom', 318, 278],
  ['getrusage', 98, 165],
  ['clock_gettime', 228, 113],
  ['clock_getres', 229, 114],
  ['clock_nanosleep', 230, 115],
  ['nanosleep', 35, 101],
  ['gettimeofday', 96, 169],
  ['sched_yield', 24, 124],
  ['sched_getaffinity', 204, 123],
  ['sched_getscheduler', 145, 120],
  ['sched_getparam', 143, 121],
  ['sched_setscheduler', 144, 119],
  ['getpriority', 140, 141],
  ['setpriority', 141, 140],
  ['restart_syscall', 219, 128],
  ['execve', 59, 221],
  ['getsockopt', 55, 209],
  ['getsockname', 51, 204],
  ['shutdown', 48, 210],
]

const ARCHITECTURES = {
  x64: { audit: 0xc000003e, column: 1, clone: 56 },
  arm64: { audit: 0xc00000b7, column: 2, clone: 220 },
} as const

const LOAD = 0x20
const JUMP_EQUAL = 0x15
const JUMP_AT_LEAST = 0x35
const JUMP_BITS = 0x45
const RETURN = 0x06

const ALLOW = 0x7fff0000
const KILL_PROCESS = 0x80000000
const ANSWER_ENOSYS = 0x00050000 | 38
/** `x32` calls share the audit value of x86-64 and carry this bit. */
const X32_BIT = 0x40000000
const CLONE_THREAD = 0x00010000

/** Offsets in `struct seccomp_data`. */
const NUMBER = 0
const ARCHITECTURE = 4
const FIRST_ARGUMENT = 16

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number]

/** The filter for a processor (`process.arch`), ready for bubblewrap. Fails with `unavailable` for other processors. */
export function seccompProgram(arch: string): Uint8Array {
  if (arch !== 'x64' && arch !== 'arm64') {
    throw new RuntimeError('unavailable', `no system call filter for the processor ${arch}; x64 and arm64 have one`, {
      arch,
    })
  }
  const { audit, column, clone } = ARCHITECTURES[arch]
  const numbers = ALLOWED.flatMap((row) => row[column] ?? []).filter((number) => number !== clone)
  return assemble([
    [LOAD, 0, 0, ARCHITECTURE],
    [JUMP_EQUAL, 1, 0, audit],
    [RETURN, 0, 0, KILL_PROCESS],
    [LOAD, 0, 0, NUMBER],
    [JUMP_AT_LEAST, 0, 1, X32_BIT],
    [RETURN, 0, 0, KILL_PROCESS],
    [JUMP_EQUAL, 0, 4, clone],
    [LOAD, 0, 0, FIRST_ARGUMENT],
    [JUMP_BITS, 0, 1, CLONE_THREAD],
    [RETURN, 0, 0, ALLOW],
    [RETURN, 0, 0, ANSWER_ENOSYS],
    ...numbers.flatMap((number): Instruction[] => [
      [JUMP_EQUAL, 0, 1, number],
      [RETURN, 0, 0, ALLOW],
    ]),
    [RETURN, 0, 0, ANSWER_ENOSYS],
  ])
}

/** `struct sock_filter`: u16 code, u8 jump if true, u8 jump if false, u32 value; little endian. */
function assemble(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8)
  const view = new DataView(bytes.buffer)
  program.forEach(([code, ifTrue, ifFalse, value], index) => {
    view.setUint16(index * 8, code, true)
    view.setUint8(index * 8 + 2, ifTrue)
    view.setUint8(index * 8 + 3, ifFalse)
    view.setUint32(index * 8 + 4, value, true)
  })
  return bytes
}
