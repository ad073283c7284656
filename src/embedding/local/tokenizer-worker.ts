import { workerData } from 'node:worker_threads'
import type { Ints, ThreadData, TokenizerAnswer, TokenizerTask } from './messages.ts'
import { type Service, serve } from './serve.ts'
import { TextTokenizer } from './tokenizer.ts'

/** The worker thread that turns texts into token ids. */
const data: ThreadData = workerData

await serve<TokenizerTask, TokenizerAnswer>(data, async (): Promise<Service<TokenizerTask, TokenizerAnswer>> => {
  const tokenizer = await TextTokenizer.load(data.model)
  return {
    run({ want, texts, crash }) {
      if (crash) process.exit(1)
      return want === 'ids' ? idsOf(tokenizer, texts) : Int32Array.from(texts, (text) => tokenizer.count(text))
    },
    close: () => Promise.resolve(),
  }
})

function idsOf(tokenizer: TextTokenizer, texts: readonly string[]): Ints {
  const tokenized = texts.map((text) => tokenizer.tokenize(text))
  const packed = new Int32Array(tokenized.reduce((sum, { ids }) => sum + 1 + ids.length, 0))
  let at = 0
  for (const { ids, truncated } of tokenized) {
    packed[at] = truncated ? -ids.length : ids.length
    packed.set(ids, at + 1)
    at += 1 + ids.length
  }
  return packed
}
