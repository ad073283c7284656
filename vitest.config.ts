import { defineConfig } from 'vitest/config'
import { hideBindings } from './test/services/environment.ts'

const report = process.env.MILLRACE_TEST_REPORT
hideBindings(process.env)

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/services/global-setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
    // Hundreds of tests use real servers on a busy machine: in CI one that fails is run once more, and the report says so.
    retry: process.env.CI === 'true' ? 1 : 0,
    // Native engines must not be opened on worker threads. More processes than cores only make each slower.
    pool: 'forks',
    maxWorkers: 2,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
})
