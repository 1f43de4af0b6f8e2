import { testRuntime } from '../../testing.ts'
import { createMockRuntime } from './index.ts'

testRuntime('mock', {
  create: createMockRuntime,
  run: ([entryPoint = '', ...args]) => ({ entryPoint, args }),
  writable: '/work',
})
