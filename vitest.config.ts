import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Tests start engines, workers and whole processes: more at once than there are cores only makes each slower.
    maxWorkers: 2,
  },
})
