import { Hono } from 'hono'
import { MillraceError } from '../core/errors.ts'
import type { Role } from '../core/role.ts'
import { channelRoutes } from './channels.ts'
import { collectionRoutes } from './collections.ts'
import type { BaseContext, EmbedderContext, GatewayContext, PipelineContext, ServerContext } from './context.ts'
import { embeddingRoutes } from './embeddings.ts'
import { eventRoutes } from './events.ts'
import { guard, originGuard } from './guard.ts'
import { securityHeaders } from './headers.ts'
import { liveRoutes } from './live.ts'
import { boundedLoad } from './load.ts'
import { openApi } from './openapi.ts'
import { pipelineRoutes } from './pipelines.ts'
import { probeRoutes } from './probes.ts'
import { problemResponse, retryAfter, toProblem } from './problem.ts'
import { namedQueryRoutes } from './queries.ts'
import { queryRoutes } from './query.ts'
import { Routes } from './route.ts'
import { serveStatic } from './static.ts'
import { topicRoutes } from './topics.ts'

const gatewayRoutes: readonly AddRoutes<GatewayContext>[] = [
  topicRoutes,
  eventRoutes,
  collectionRoutes,
  queryRoutes,
  namedQueryRoutes,
  embeddingRoutes,
  channelRoutes,
  liveRoutes,
]

/** The whole HTTP API as one application, for whatever runs it. The WebSocket is added by `listen`. */
export function createApp(context: ServerContext): Hono {
  const adders = [...gatewayRoutes, pipelineRoutes, probeRoutes]
  const app = appOf(context, adders, 'GET /openapi.json describes what there is.')
  serveStatic(app, context.dashboard)
  return app
}

/** The API of a process of the role `gateway`: all but the pipelines. */
export function createGatewayApp(context: GatewayContext): Hono {
  const app = appOf(context, [...gatewayRoutes, probeRoutes], elsewhere('gateway', 'runs no pipelines'))
  serveStatic(app, context.dashboard)
  return app
}

/** The API of a process of the role `processor`. */
export function createProcessorApp(context: PipelineContext): Hono {
  return appOf(context, [pipelineRoutes, probeRoutes], elsewhere('processor', 'only runs pipelines'))
}

/** The API of a process of the role `embedder`. */
export function createEmbedderApp(context: EmbedderContext): Hono {
  return appOf(context, [embeddingRoutes, probeRoutes], elsewhere('embedder', 'only embeds'))
}

/** The hint for a route that is not there. */
function elsewhere(role: Role, does: string): string {
  return `This process has the role ${role}, which ${does}: GET /openapi.json describes what there is.`
}

type AddRoutes<C> = (routes: Routes, context: C) => void

/** `hint`: for a route that is not there. */
function appOf<C extends BaseContext>(context: C, adders: readonly AddRoutes<C>[], hint: string): Hono {
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
    return problemResponse(c, { title: 'Not Found', status: 404, code: 'route_not_found', detail, hint })
  })
  app.use(securityHeaders())
  app.use(originGuard(context))
  app.use(guard(context))
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
  for (const add of adders) add(routes, context)
  const description = JSON.stringify(openApi(routes.all, context.version, context.access.required))
  app.get('/openapi.json', (c) => c.body(description, 200, { 'content-type': 'application/json' }))
  return app
}
