import { expect, test } from 'vitest'
import { Fatal } from '../../src/core/errors.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'

test('metrics are printed under their names, and two registries do not meet', async () => {
  const metrics = createMetrics()
  const other = createMetrics()
  metrics.eventsRead.inc({ pipeline: 'tickets' }, 3)
  metrics.sinkWriteSeconds.observe({ pipeline: 'tickets', sink: 'live' }, 0.004)
  const text = await metrics.text()
  expect(text).toContain('millrace_events_read_total{pipeline="tickets"} 3')
  expect(text).toContain('millrace_sink_write_seconds_bucket{le="0.005",pipeline="tickets",sink="live"} 1')
  expect(text).toMatch(/nodejs_eventloop_lag_p99_seconds \d/)
  expect(await other.text()).not.toContain('tickets')
  metrics.close()
  other.close()
})

test('a log line keeps errors and drops what is below its level', () => {
  const lines: string[] = []
  const log = createLog({ write: (line) => lines.push(line), format: 'json' })
  log.debug('not this')
  log.warn('a sink came back', { sink: 'live', error: new TypeError('no') })
  expect(lines).toHaveLength(1)
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    level: 'warn',
    message: 'a sink came back',
    sink: 'live',
    error: { name: 'TypeError', message: 'no', stack: expect.stringContaining('metrics.test.ts') },
  })
  log.error('a pipeline has stopped', { error: new Fatal({ code: 'model_unusable', message: 'it is corrupt' }) })
  expect(JSON.parse(lines[1] ?? '').error).toEqual({ name: 'Fatal', code: 'model_unusable', message: 'it is corrupt' })
})
