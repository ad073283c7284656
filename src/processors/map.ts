import { z } from 'zod'
import { defineProcessor, type Path, type Reference } from '../core/component.ts'
import { MillraceError } from '../core/errors.ts'
import { isJsonObject, type Json, type JsonObject } from '../core/event.ts'
import type { Expression, Expressions } from '../core/expression.ts'
import type { Shape } from '../core/shape.ts'
import { eachEvent, withValue } from './outcome.ts'

/** Texts are expressions; other constants stand for themselves; lists and objects hold more of the same. */
type Template = string | number | boolean | null | readonly Template[] | { readonly [name: string]: Template }

const template: z.ZodType<Template> = z.lazy(() =>
  z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(template), z.record(z.string(), template)]),
)

/** The field name under which an object's fields are all taken over. */
const spread = '...'

/** Builds a new value, field by field. */
export const map = defineProcessor({
  kind: 'processor',
  name: 'map',
  summary: 'Builds a new value from expressions, field by field.',
  example: `map:
  subject: value.subject
  customer: { id: value.customer.id, vip: value.customer.level > 2 }
  # and to keep all fields and add some:
  # "...": value
  # words: size(value.body.split(" "))`,
  options: z
    .record(z.string(), template)
    .refine((fields) => Object.keys(fields).length > 0, 'name at least one field')
    .describe(
      'The fields of the new value, each an expression, or an object or list of expressions. Numbers, true, false and ' +
        'null stand for themselves. The field named "..." takes an object whose fields are all taken over; the fields ' +
        'after it replace those of the same name.',
    ),
  references: (fields) => expressionsIn(fields, []),
  shape: (fields, input) => ({ ...input, fields: fieldsAfter(fields, input) }),
  create(fields, { expressions }) {
    const build = compile(fields, expressions)
    return { process: (batch) => eachEvent(batch, (event) => withValue(event, build(event))) }
  },
})

function expressionsIn(part: Template, path: Path): Reference[] {
  if (typeof part === 'string') return [{ kind: 'expression', path, text: part, returns: 'any' }]
  if (typeof part !== 'object' || part === null) return []
  if (isList(part)) return part.flatMap((item, index) => expressionsIn(item, [...path, index]))
  return Object.entries(part).flatMap(([name, inner]) => expressionsIn(inner, [...path, name]))
}

function fieldsAfter(fields: { readonly [name: string]: Template }, input: Shape): Shape['fields'] {
  const { [spread]: taken, ...named } = fields
  if (taken === undefined) return new Set(Object.keys(named))
  if (taken !== 'value' || input.fields === undefined) return undefined
  return new Set([...input.fields, ...Object.keys(named)])
}

function compile(part: Template, expressions: Expressions): Expression<Json> {
  if (typeof part === 'string') return expressions.compile(part, 'any')
  if (typeof part !== 'object' || part === null) return () => part
  if (isList(part)) {
    const items = part.map((item) => compile(item, expressions))
    return (scope) => items.map((item) => item(scope))
  }
  return compileObject(part, expressions)
}

function compileObject(part: { readonly [name: string]: Template }, expressions: Expressions): Expression<Json> {
  const fields = Object.entries(part).map(([name, inner]) => ({ name, compute: compile(inner, expressions) }))
  if (!Object.hasOwn(part, spread))
    return (scope) => {
      const value: Record<string, Json> = {}
      for (const { name, compute } of fields) value[name] = compute(scope)
      return value
    }
  return (scope) => {
    let value: Record<string, Json> = {}
    for (const { name, compute } of fields) {
      const result = compute(scope)
      if (name === spread) value = { ...value, ...objectToSpread(result, part[spread]) }
      else value[name] = result
    }
    return value
  }
}

function objectToSpread(result: Json, source: Template | undefined): JsonObject {
  if (isJsonObject(result)) return result
  throw new MillraceError({
    code: 'expression_failed',
    message: `The field "..." of map takes over the fields of \`${JSON.stringify(source)}\`, which is no object here.`,
  })
}

function isList(part: object): part is readonly Template[] {
  return Array.isArray(part)
}
