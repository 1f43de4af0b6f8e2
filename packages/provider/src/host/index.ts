/** The machine that is sold: its processes, its configuration files, its hardware. For composition roots only. */
export { createConfigFolder } from './config-folder.ts'
export { createExeUnits, type ExeUnitsOptions } from './exe-units.ts'
export { readMachine } from './machine.ts'
