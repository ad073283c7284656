import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { errorAdvice, type Fatal, Retryable } from '../core/errors.ts'
import type { Services } from '../core/services.ts'
import { createEmbedderApp, defaultServerLimits } from '../server/index.ts'
import { createEmbedderObserver } from './observe.ts'
import { packageVersion } from './package.ts'
import { openProcess } from './process.ts'
import type { Millrace, StartOptions } from './start.ts'

const pauseMs = 1_000

/**
 * The composition root of the role `embedder`: one engine that serves other processes over HTTP. Ready once the model
 * has embedded a text. `ended` rejects when the model can never be used, or no more: another process may do better.
 */
export async function startEmbedder({
  runtime,
  log,
  downloading,
}: Pick<StartOptions, 'runtime' | 'log' | 'downloading'>): Promise<Millrace> {
  let missing: string | undefined = 'the model is loading'
  let embedderEnded: (error: Fatal) => void = () => {}
  const broken = new Promise<never>((_, reject) => {
    embedderEnded = (error) => {
      missing = errorAdvice(error)
      reject(error)
    }
  })
  broken.catch(() => {})
  const opened = await openProcess(runtime, { log, downloading, embedderEnded })
  const { access, audit, metrics, services } = opened
  const end = new AbortController()
  const close = async () => {
    end.abort()
    await opened.close()
  }
  try {
    const context = {
      services,
      access,
      audit,
      origins: runtime.server.origins,
      metrics,
      observe: createEmbedderObserver(metrics, services.embedderStats),
      log,
      ready: () => ({ ready: missing === undefined, reasons: missing === undefined ? [] : [missing] }),
      version: packageVersion(),
      limits: defaultServerLimits,
    }
    const address = await opened.serve(createEmbedderApp(context), context)
    const ready = loadModel(services, end.signal, (error) => {
      const reason = error === undefined ? undefined : errorAdvice(error)
      // Not with every try; and what ends the process is told by whoever ends it.
      if (error instanceof Retryable && reason !== missing) log.warn('the embedder is not ready yet', { reason })
      missing = reason
    })
    const ended = Promise.all([ready, broken]).then(() => {})
    ended.catch(() => {})
    return { address, pipelines: [], ready, ended, stop: close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Embeds a text that no cache has, again and again while that may still help. Says why it cannot, and at last that nothing is in the way. */
async function loadModel(
  services: Pick<Services, 'embedder'>,
  signal: AbortSignal,
  say: (error: unknown) => void,
): Promise<void> {
  for (;;) {
    try {
      await (await services.embedder()).embed([randomUUID()], { priority: 'query', signal })
      return say(undefined)
    } catch (error) {
      say(error)
      if (!(error instanceof Retryable)) throw error
      await delay(Math.max(pauseMs, error.delayMs ?? 0), undefined, { signal })
    }
  }
}
