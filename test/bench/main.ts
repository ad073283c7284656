import { docsRecall } from './docs-recall.ts'
import { embedding } from './embedding.ts'
import { embeddingBaseline } from './embedding-baseline.ts'
import { embeddingCeiling } from './embedding-ceiling.ts'
import { embeddingMemory } from './embedding-memory.ts'
import { fanOut } from './fan-out.ts'
import type { Benchmark, Figure } from './figure.ts'
import { kafka } from './kafka.ts'
import { latency } from './latency.ts'
import { idleConnections, stalledReader } from './live-sessions.ts'
import { pipelineSpeed } from './pipeline.ts'
import { standingSpeed } from './standing.ts'
import { start } from './start.ts'
import { throughput } from './throughput.ts'

const benchmarks: readonly Benchmark[] = [
  start,
  latency,
  throughput,
  pipelineSpeed,
  kafka,
  embedding,
  embeddingCeiling,
  embeddingBaseline,
  embeddingMemory,
  standingSpeed,
  fanOut,
  stalledReader,
  idleConnections,
  docsRecall,
]

const json = process.argv.includes('--json')
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('-'))
const unknown = wanted.filter((name) => !benchmarks.some((benchmark) => benchmark.name === name))
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(', ')}; there are:`)
  for (const { name, summary } of benchmarks) console.error(`  ${name.padEnd(20)}${summary}`)
  process.exit(2)
}

const figures: Figure[] = []
for (const benchmark of benchmarks) {
  if (wanted.length > 0 && !wanted.includes(benchmark.name)) continue
  if (!json) console.log(`\n${benchmark.name}: ${benchmark.summary}`)
  for (const figure of await benchmark.run()) {
    figures.push(figure)
    if (!json) console.log(line(figure))
  }
}
if (json) console.log(JSON.stringify(figures, undefined, 2))
process.exitCode = figures.some((figure) => missed(figure)) ? 1 : 0

function missed({ value, least, most }: Figure): boolean {
  return value < (least ?? Number.NEGATIVE_INFINITY) || value > (most ?? Number.POSITIVE_INFINITY)
}

function line(figure: Figure): string {
  const { name, value, unit, least, most, note } = figure
  const goal = least !== undefined ? ` (at least ${least})` : most !== undefined ? ` (at most ${most})` : ''
  const shown = value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 2 : 0 })
  return `  ${missed(figure) ? 'missed' : '      '} ${name.padEnd(52)}${shown.padStart(12)} ${unit}${goal}${note ? `  ${note}` : ''}`
}
