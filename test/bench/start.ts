import { resolve } from 'node:path'
import { connect } from '../../src/client/index.ts'
import { startCli, tempFolder } from '../support/cli.ts'
import { type Benchmark, quantile } from './figure.ts'

const times = 5

/** The example pipelines of the project, on empty data, as `npm start` runs them. */
export const start: Benchmark = {
  name: 'start',
  summary: 'from the command to ready, and from there to the first live event',
  async run() {
    const readyMs: number[] = []
    const eventMs: number[] = []
    for (let n = 0; n < times; n++) {
      await using folder = await tempFolder()
      const started = performance.now()
      const project = resolve(import.meta.dirname, '../../..')
      await using millrace = await startCli(['run'], { cwd: project, env: { MILLRACE_DATA: folder.path } })
      const ready = performance.now()
      readyMs.push(ready - started)
      const client = connect(millrace.address)
      for await (const _first of client.subscribe('tickets', { since: { last: 1 } })) break
      eventMs.push(performance.now() - ready)
      client.close()
    }
    return [
      { name: 'start: until /readyz answers 200', value: quantile(readyMs, 0.5), unit: 'ms', most: 5_000 },
      { name: 'start: from there to the first event', value: quantile(eventMs, 0.5), unit: 'ms', most: 3_000 },
    ]
  },
}
