import { expect, test } from 'vitest'
import { z } from 'zod'
import { openServices } from '../../src/cli/services.ts'
import { loadRuntime } from '../../src/config/runtime.ts'
import { createCatalog, defineSink } from '../../src/core/component.ts'
import { Fatal } from '../../src/core/errors.ts'
import { Pipeline } from '../../src/engine/pipeline.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { createMetrics, silentLog } from '../../src/telemetry/index.ts'
import { tempFolder } from '../support/cli.ts'

const doomed = defineSink({
  kind: 'sink',
  name: 'doomed',
  summary: 'Fails for good.',
  example: 'doomed: {}',
  options: z.object({}),
  create: () => ({
    takes: 'events' as const,
    write: () => Promise.reject(new Fatal({ code: 'doomed', message: 'it cannot work', hint: 'do something else' })),
  }),
})

// Whoever runs this test fails it when a rejection is left unhandled, which would end the process.
test('a lane that fails for good stops its pipeline, which says why and what to do', async () => {
  await using folder = await tempFolder()
  const runtime = await loadRuntime({ env: { MILLRACE_DATA: folder.path }, cwd: folder.path })
  const services = openServices(runtime)
  const log = await services.log()
  await log.ensureTopic('orders')
  await log.append('orders', [{ key: null, value: Buffer.from('{}') }])
  const metrics = createMetrics()
  const pipeline = new Pipeline(
    {
      name: 'doomed',
      source: { kind: 'topics', topics: ['orders'], start: 'earliest', group: 'doomed' },
      processors: [],
      sinks: [{ name: 'doomed', component: 'doomed', options: {} }],
      block: { events: 10, bytes: 1000, ageMs: 10 },
      tests: [],
      text: '',
      file: '',
    },
    {
      services,
      catalog: createCatalog([doomed]),
      expressions: createExpressions(),
      metrics,
      log: silentLog,
      topic: () => ({}),
    },
  )
  pipeline.start()
  await pipeline.ended()
  expect(await pipeline.status()).toMatchObject({ state: 'failed', reason: 'it cannot work; do something else' })
  expect(await log.groups()).toMatchObject([{ committed: { from: 0 } }])
  metrics.close()
  await services.close()
})
