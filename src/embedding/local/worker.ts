import { parentPort, workerData } from 'node:worker_threads'
import { errorMessage } from '../../core/errors.ts'
import type { Reply, Task, ThreadData } from './messages.ts'
import { ModelSession } from './session.ts'

/** The worker thread: loads the model, then answers one task after the other. */
async function main({ model, crashOn }: ThreadData): Promise<void> {
  const port = parentPort
  if (port === null) throw new Error('the embedding worker was started outside a worker thread')
  const send = (reply: Reply) => {
    port.postMessage(reply, reply.kind === 'vectors' ? [reply.vectors.buffer] : [])
  }
  const session = await ModelSession.load(model).catch((error: unknown) => {
    send({ kind: 'unusable', message: errorMessage(error) })
    return undefined
  })
  if (session === undefined) return
  port.on('message', (task: Task) => {
    if (task.kind === 'close') {
      void session.close().finally(() => port.close())
      return
    }
    if (crashOn !== undefined && task.texts.includes(crashOn)) process.exit(1)
    void answer(session, task).then(send)
  })
  send({ kind: 'ready' })
}

async function answer(session: ModelSession, task: Exclude<Task, { kind: 'close' }>): Promise<Reply> {
  try {
    return task.kind === 'embed' ? await session.embed(task.texts) : session.count(task.texts)
  } catch (error) {
    return { kind: 'failed', message: errorMessage(error) }
  }
}

await main(workerData)
