import { useEffect, useState } from 'preact/hooks'
import { type Client, MillraceClientError } from '../client/index.ts'
import type { Pipeline } from './api.ts'
import { serverSentData } from './sse.ts'

/** One look at a pipeline; a minute of them is kept. */
export interface Sample {
  readonly rate: number
  readonly lag: number
}

export interface PipelineFeed {
  /** Undefined until the server has answered. */
  readonly pipelines: readonly Pipeline[] | undefined
  /** By pipeline, oldest first, one a second. */
  readonly history: ReadonlyMap<string, readonly Sample[]>
  /** Why what is shown may be out of date. */
  readonly error: unknown
  /** This server runs none: others do, of which it is a gateway. */
  readonly elsewhere: boolean
}

export const historySeconds = 60
/** The server breaks the silence every 20 s. */
const silenceMs = 50_000
const longestDelayMs = 8_000
const nothing: PipelineFeed = { pipelines: undefined, history: new Map(), error: undefined, elsewhere: false }

/** The pipelines as they change, for as long as the component is there. */
export function usePipelineFeed(client: Client): PipelineFeed {
  const [feed, setFeed] = useState(nothing)
  useEffect(() => {
    const stop = new AbortController()
    setFeed(nothing)
    void follow(client, stop.signal, (change) => setFeed((before) => ({ ...before, ...change })))
    const clock = setInterval(() => setFeed(withSample), 1_000)
    return () => {
      stop.abort()
      clearInterval(clock)
    }
  }, [client])
  return feed
}

async function follow(client: Client, signal: AbortSignal, change: (part: Partial<PipelineFeed>) => void) {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      await watch(client, signal, (pipelines) => {
        attempt = 0
        change({ pipelines, error: undefined })
      })
      change({ error: new Error('The server ended the connection.') })
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof MillraceClientError && error.code === 'route_not_found') return change({ elsewhere: true })
      change({ error })
    }
    await delay(Math.min(longestDelayMs, 500 * 2 ** attempt), signal)
  }
}

async function watch(client: Client, signal: AbortSignal, changed: (pipelines: readonly Pipeline[]) => void) {
  const silent = new AbortController()
  const giveUp = () => silent.abort(new Error('Nothing was heard from the server.'))
  let timer = setTimeout(giveUp, silenceMs)
  try {
    const response = await client.request('/v1/pipelines?watch=true', {
      signal: AbortSignal.any([signal, silent.signal]),
    })
    if (!response.body) return
    const heard = () => {
      clearTimeout(timer)
      timer = setTimeout(giveUp, silenceMs)
    }
    for await (const data of serverSentData(response.body, heard)) changed(JSON.parse(data).pipelines)
  } finally {
    clearTimeout(timer)
  }
}

function withSample(feed: PipelineFeed): PipelineFeed {
  if (!feed.pipelines || feed.error !== undefined) return feed
  const history = feed.pipelines.map(({ name, rate, lag }) => {
    const before = feed.history.get(name) ?? []
    return [name, [...before.slice(1 - historySeconds), { rate, lag }]] as const
  })
  return { ...feed, history: new Map(history) }
}

function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
