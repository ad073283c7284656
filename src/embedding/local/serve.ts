import { parentPort, receiveMessageOnPort } from 'node:worker_threads'
import { errorMessage, Fatal } from '../../core/errors.ts'
import type { Order, Reply, ThreadData } from './messages.ts'
import { Turns } from './turns.ts'

/** What a worker thread does. */
export interface Service<Task, Answer extends NodeJS.TypedArray<ArrayBuffer>> {
  /** A `Fatal` ends the thread for good; after any other error it goes on. */
  run(task: Task): Answer | Promise<Answer>
  close(): Promise<void>
}

/**
 * The loop of a worker thread. Several tasks may be sent at a time, so that there is no pause between two; before it begins
 * one it looks for new orders, so that an urgent one need not wait for what was sent before.
 */
export async function serve<Task, Answer extends NodeJS.TypedArray<ArrayBuffer>>(
  { running }: ThreadData,
  load: () => Promise<Service<Task, Answer>>,
): Promise<void> {
  const port = parentPort
  if (port === null) throw new Error('a thread of the embedder was started outside a worker thread')
  const send = (reply: Reply<Answer>) => {
    port.postMessage(reply, reply.kind === 'done' ? [reply.answer.buffer] : [])
  }
  const service = await load().catch((error: unknown) => {
    send({ kind: 'unusable', message: errorMessage(error) })
    return undefined
  })
  if (service === undefined) return

  const turns = new Turns<Extract<Order<Task>, { kind: 'task' }>>()
  let closing = false
  const take = (order: Order<Task>) => {
    if (order.kind === 'close') closing = true
    else turns.add(order, order.urgent)
  }
  const takeAll = () => {
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port))
      take(next.message)
  }
  const work = async () => {
    for (;;) {
      takeAll()
      const order = closing ? undefined : turns.next()
      if (order === undefined) break
      Atomics.store(running, 0, order.id)
      const reply = await attempt(service, order.id, order.task)
      Atomics.store(running, 0, 0)
      send(reply)
      if (reply.kind === 'unusable') closing = true
    }
    if (closing) await service.close().finally(() => port.close())
  }
  let idle = true
  port.on('message', (order: Order<Task>) => {
    take(order)
    if (!idle) return
    idle = false
    void work().finally(() => {
      idle = true
    })
  })
  send({ kind: 'ready' })
}

async function attempt<Task, Answer extends NodeJS.TypedArray<ArrayBuffer>>(
  service: Service<Task, Answer>,
  id: number,
  task: Task,
): Promise<Reply<Answer>> {
  try {
    return { kind: 'done', id, answer: await service.run(task) }
  } catch (error) {
    const message = errorMessage(error)
    return error instanceof Fatal ? { kind: 'unusable', message } : { kind: 'failed', id, message }
  }
}
