import { z } from 'zod'
import type { BaseContext } from './context.ts'
import type { Routes } from './route.ts'
import { answer } from './schemas.ts'

const alive = answer('Alive', z.object({ service: z.literal('millrace'), version: z.string() }))
const readiness = answer('Readiness', z.object({ ready: z.boolean(), reasons: z.array(z.string()) }))

export function probeRoutes(routes: Routes, { ready, version, metrics, observe }: BaseContext): void {
  routes.add(
    {
      method: 'get',
      path: '/livez',
      permission: 'anyone',
      tag: 'Operation',
      summary: 'Whether the process answers',
      answers: {
        200: {
          description: 'It does.',
          content: { 'application/json': { schema: alive, example: { service: 'millrace', version: '0.1.0' } } },
        },
      },
      problems: [],
    },
    (c) => c.json({ service: 'millrace', version }),
  )

  routes.add(
    {
      method: 'get',
      path: '/readyz',
      permission: 'anyone',
      tag: 'Operation',
      summary: 'Whether requests can be served',
      answers: {
        200: {
          description:
            'They can. `reasons` names the pipelines that have failed or are degraded, which does not keep the others from running. Only who may manage `server` is told reasons.',
          content: { 'application/json': { schema: readiness, example: { ready: true, reasons: [] } } },
        },
        503: {
          description: 'Not yet; `reasons` says why.',
          content: {
            'application/json': { schema: readiness, example: { ready: false, reasons: ['the model is loading'] } },
          },
        },
      },
      problems: [],
    },
    async (c) => {
      const state = ready()
      // Anyone may know whether, but reasons may hold names, addresses and paths.
      const reasons = c.get('visit').principal?.may('manage', 'server') === true ? state.reasons : []
      return c.json({ ready: state.ready, reasons }, state.ready ? 200 : 503)
    },
  )

  routes.add(
    {
      method: 'get',
      path: '/metrics',
      permission: { action: 'manage', name: 'server' },
      tag: 'Operation',
      summary: 'Prometheus metrics',
      answers: {
        200: {
          description: 'Prometheus text.',
          content: { 'text/plain': { example: 'millrace_events_read_total{pipeline="support-tickets"} 42\n' } },
        },
      },
      problems: [401],
    },
    async (c) => {
      await observe?.()
      return c.body(await metrics.text(), 200, { 'content-type': metrics.contentType })
    },
  )
}
