import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { MemorySample } from './embed-steadily.ts'
import type { Benchmark } from './figure.ts'

/** `MILLRACE_BENCH_SECONDS=3600 npm run bench -- embedding-memory` runs for an hour. */
const seconds = Number(process.env.MILLRACE_BENCH_SECONDS ?? 60)

/** In a process of its own, so that nothing else is counted. */
export const embeddingMemory: Benchmark = {
  name: 'embedding-memory',
  summary:
    'memory of the embedder under full load, all texts different, caches on (MILLRACE_BENCH_SECONDS, default 60)',
  async run() {
    const samples = await embedSteadily(seconds)
    const quarter = (index: number) => {
      const part = samples.filter(({ at }) => at >= (index * seconds) / 4 && at < ((index + 1) * seconds) / 4)
      return part.reduce((sum, { anonymous }) => sum + anonymous, 0) / part.length
    }
    const texts = samples.at(-1)?.texts ?? Number.NaN
    return [
      { name: 'memory in the second quarter', value: quarter(1), unit: 'MB' },
      { name: 'memory in the last quarter', value: quarter(3), unit: 'MB', note: `after ${texts} texts` },
      { name: 'the last over the second', value: quarter(3) / quarter(1), unit: 'ratio', most: 1.1 },
    ]
  },
}

async function embedSteadily(seconds: number): Promise<MemorySample[]> {
  const program = join(import.meta.dirname, 'embed-steadily.js')
  const maxBuffer = 2 ** 28
  const { stdout } = await promisify(execFile)(process.execPath, [program, String(seconds), '200'], { maxBuffer })
  return JSON.parse(stdout)
}
