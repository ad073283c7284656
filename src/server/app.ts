import { Hono } from 'hono'
import { MillraceError } from '../core/errors.ts'
import { collectionRoutes } from './collections.ts'
import type { ServerContext } from './context.ts'
import { embeddingRoutes } from './embeddings.ts'
import { eventRoutes } from './events.ts'
import { guard } from './guard.ts'
import { liveRoutes } from './live.ts'
import { boundedLoad } from './load.ts'
import { openApi } from './openapi.ts'
import { pipelineRoutes } from './pipelines.ts'
import { probeRoutes } from './probes.ts'
import { problemResponse, retryAfter, toProblem } from './problem.ts'
import { queryRoutes } from './query.ts'
import { Routes } from './route.ts'
import { serveStatic } from './static.ts'
import { topicRoutes } from './topics.ts'

/** The HTTP API as one application, for whatever runs it. The WebSocket is added by `listen`. */
export function createApp(context: ServerContext): Hono {
  const app = new Hono()
  app.onError((error, c) => {
    const problem = toProblem(error)
    if (!(error instanceof MillraceError)) {
      context.log.error('A request failed unexpectedly.', { method: c.req.method, path: c.req.path, error })
    }
    const retry = retryAfter(error)
    return problemResponse(c, problem, {
      ...(problem.status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
      ...(retry === undefined ? {} : { 'retry-after': retry }),
    })
  })
  app.notFound((c) => {
    const detail = `There is no ${c.req.method} ${c.req.path}.`
    const hint = 'GET /openapi.json describes what there is.'
    return problemResponse(c, { title: 'Not Found', status: 404, code: 'route_not_found', detail, hint })
  })
  app.use(guard(context.auth?.token))
  app.use(async (c, next) => {
    const started = performance.now()
    await next()
    // A stream that nobody reads would never end.
    if (c.req.method === 'HEAD') await c.res.body?.cancel()
    const labels = { method: c.req.method, route: c.req.routePath, status: String(c.res.status) }
    context.metrics.httpSeconds.observe(labels, (performance.now() - started) / 1000)
  })

  app.use('/v1/*', boundedLoad(context.limits.bodyBytes, context.limits.inFlightBytes))

  const routes = new Routes(app)
  for (const add of [
    topicRoutes,
    eventRoutes,
    pipelineRoutes,
    collectionRoutes,
    queryRoutes,
    embeddingRoutes,
    liveRoutes,
    probeRoutes,
  ]) {
    add(routes, context)
  }
  const description = JSON.stringify(openApi(routes.all, context.version, context.auth !== undefined))
  app.get('/openapi.json', (c) => c.body(description, 200, { 'content-type': 'application/json' }))
  serveStatic(app, context.dashboard)
  return app
}
