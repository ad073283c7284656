import { workerData } from 'node:worker_threads'
import type { ModelAnswer, ModelTask, ThreadData } from './messages.ts'
import { type Service, serve } from './serve.ts'
import { ModelSession } from './session.ts'

/** The worker thread that runs the model. */
const data: ThreadData = workerData

await serve<ModelTask, ModelAnswer>(data, async (): Promise<Service<ModelTask, ModelAnswer>> => {
  const session = await ModelSession.load(data.model)
  // A model that cannot run at all is found here and not by the first texts, which would be blamed for it.
  await session.run([Int32Array.of(data.model.padId)])
  return {
    run({ ids, lengths, crash }) {
      if (crash) process.exit(1)
      let from = 0
      const rows = lengths.map((length) => {
        const row = ids.subarray(from, from + length)
        from += length
        return row
      })
      return session.run(rows)
    },
    close: () => session.close(),
  }
})
