import { z } from 'zod'
import type { Contents, Permission, Route } from './route.ts'
import { answers, problemDetails, requests } from './schemas.ts'

type Document = Record<string, unknown>

/** The OpenAPI 3.1 description of the routes. `secured`: whether calls need a token. */
export function openApi(routes: readonly Route[], version: string, secured: boolean): Document {
  const paths: Record<string, Document> = {}
  for (const route of routes) {
    const path = paths[route.path] ?? {}
    path[route.method] = operation(route)
    paths[route.path] = path
  }
  const tags = [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name }))
  return {
    openapi: '3.1.0',
    info: {
      title: 'Millrace',
      version,
      description: 'Streaming pipelines: append events, search by meaning, query ClickHouse, follow live channels.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    ...(secured ? { security: [{ token: [] }] } : {}),
    tags,
    paths,
    components: {
      schemas: referenced(paths, { ...named(requests, 'input'), ...named(answers, 'output') }),
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
  }
}

function operation(route: Route): Document {
  const responses: Record<string, Document> = {}
  for (const [status, { description, content }] of Object.entries(route.answers)) {
    responses[status] = { description, ...(content ? { content: contents(content) } : {}) }
  }
  const refusals = route.permission === 'anyone' ? [] : [401, 403]
  for (const status of [...route.problems, ...refusals]) {
    const example = { title: 'Error', status, code: 'some_code', detail: 'What is wrong, and where.' }
    const content = { 'application/problem+json': { schema: problemDetails, example } }
    responses[String(status)] ??= { description: 'A problem.', content: contents(content) }
  }
  return {
    operationId: operationId(route),
    tags: [route.tag],
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    parameters: [...pathParameters(route.path), ...queryParameters(route.query), ...headerParameters(route.headers)],
    'x-permission': permissionText(route.permission),
    ...(route.body ? { requestBody: { required: true, content: contents(route.body) } } : {}),
    responses,
  }
}

/** Such as `publish {topic}`. */
function permissionText(permission: Permission): string {
  return typeof permission === 'string' ? permission : `${permission.action} ${permission.name}`
}

/** `post /v1/topics/{topic}/events` is `postTopicsTopicEvents`. */
function operationId({ method, path }: Route): string {
  const words = path.replace('/v1/', '/').split(/[^A-Za-z0-9]+/)
  return method + words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('')
}

function contents(content: Contents): Document {
  return Object.fromEntries(
    Object.entries(content).map(([type, { schema, example }]) => {
      return [type, { ...(schema ? { schema: reference(schema) } : {}), example }]
    }),
  )
}

function reference(schema: z.ZodType): Document {
  const id = requests.get(schema)?.id ?? answers.get(schema)?.id
  return { $ref: place(id ?? '') }
}

function place(id: string): string {
  return `#/components/schemas/${id}`
}

function named(registry: typeof requests, io: 'input' | 'output'): Record<string, Document> {
  const { schemas } = z.toJSONSchema(registry, { io, uri: place, unrepresentable: 'any', cycles: 'ref' })
  return Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, withoutIds(schema)]))
}

/** The schemas that the paths need, by themselves or through others: a process need not have all routes. */
function referenced(paths: Document, schemas: Readonly<Record<string, Document>>): Record<string, Document> {
  const used: Record<string, Document> = {}
  const visit = (part: Document) => {
    for (const [, id = ''] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      const schema = schemas[id]
      if (schema === undefined || id in used) continue
      used[id] = schema
      visit(schema)
    }
  }
  visit(paths)
  return used
}

function withoutIds({ $schema: _, $id: __, ...schema }: Record<string, unknown>): Document {
  return schema
}

function pathParameters(path: string): Document[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => {
    return { name, in: 'path', required: true, schema: { type: 'string' } }
  })
}

function queryParameters(query: z.ZodObject | undefined): Document[] {
  if (!query) return []
  const { properties = {}, required = [] } = z.toJSONSchema(query, { io: 'input', unrepresentable: 'any' })
  return Object.entries(properties).map(([name, schema]) => {
    if (typeof schema !== 'object') return { name, in: 'query' }
    const { description, ...rest } = schema
    return {
      name,
      in: 'query',
      required: required.includes(name),
      ...(description ? { description } : {}),
      schema: rest,
    }
  })
}

function headerParameters(headers: Route['headers'] = {}): Document[] {
  return Object.entries(headers).map(([name, description]) => {
    return { name, in: 'header', description, schema: { type: 'string' } }
  })
}
