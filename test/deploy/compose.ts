import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'

export const root = resolve(import.meta.dirname, '../..')

const scalar = z.union([z.string(), z.number(), z.boolean()])

const service = z.object({
  image: z.string(),
  build: z.object({ dockerfile: z.string() }).loose().optional(),
  profiles: z.array(z.string()).default([]),
  command: z.array(z.string()).default([]),
  restart: z.string().optional(),
  environment: z.record(z.string(), scalar).default({}),
  ports: z.array(z.string()).default([]),
  networks: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  healthcheck: z
    .object({ test: z.array(z.string()).min(2) })
    .loose()
    .optional(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
})

const compose = z.object({
  services: z.record(z.string(), service),
  volumes: z.record(z.string(), z.unknown()),
  networks: z.record(z.string(), z.object({ internal: z.boolean().optional() })),
})

export type ComposeService = z.infer<typeof service>

/** What docker-compose.yml says. */
export const { services, volumes, networks } = compose.parse(
  parse(readFileSync(resolve(root, 'docker-compose.yml'), 'utf8'), { merge: true }),
)

export function serviceNamed(name: string): ComposeService {
  const found = services[name]
  if (found === undefined) throw new Error(`docker-compose.yml has no service ${name}`)
  return found
}

/** The environment of a service as a shell without settings of its own would give it: `${NAME:-default}` is the default. */
export function environmentOf(name: string): Record<string, string> {
  const entries = Object.entries(serviceNamed(name).environment)
  return Object.fromEntries(entries.map(([key, value]) => [key, substituted(String(value))]))
}

const substituted = (text: string): string => text.replace(/\$\{\w+:-([^}]*)\}/g, '$1').replaceAll('$$', '$')
