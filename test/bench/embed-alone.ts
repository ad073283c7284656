import { resolve } from 'node:path'
import { packageRoot } from '../../src/cli/package.ts'
import { createEmbedder } from '../../src/embedding/embedder.ts'
import { openLocalBackend } from '../../src/embedding/local/index.ts'
import { readModel } from '../../src/embedding/models/model.ts'
import { textsFrom } from './texts.ts'

/** A process of its own that embeds one kind of the texts of `pipeline.ts` and prints how fast that was. */
const [count = 0, leastWords = 0, mostWords = 0] = process.argv.slice(2).map(Number)
const warmUp = 64

const model = await readModel(resolve(packageRoot(), 'models/all-MiniLM-L6-v2'))
const embedder = await createEmbedder({ backend: openLocalBackend({ model }) })
await embedder.embed(textsFrom(count, warmUp, leastWords, mostWords))
const texts = textsFrom(0, count, leastWords, mostWords)
const cpu = process.cpuUsage()
const started = performance.now()
await embedder.embed(texts)
const rate = (count * 1000) / (performance.now() - started)
const { user, system } = process.cpuUsage(cpu)
console.log(JSON.stringify({ rate, cpuMs: (user + system) / 1000 / count }))
await embedder.close()
