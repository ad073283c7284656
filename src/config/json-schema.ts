import { z } from 'zod'
import type { AnyDefinition, Catalog } from '../core/component.ts'
import { isJsonObject, type Json, type JsonObject } from '../core/event.ts'
import { pipelineFrame, topicSource } from './pipeline-schema.ts'

/**
 * JSON Schema (draft 2020-12) of pipeline files, for completion and checks in editors. Made from the schemas that the
 * files are checked with; only names, types and bounds are in it, not what expressions, fields and vectors refer to.
 */
export function pipelineJsonSchema(catalog: Catalog): JsonObject {
  const file = z.strictObject({
    ...pipelineFrame.shape,
    source: z.union([topicSource, component(catalog.sources)]).describe('Where events come from.'),
    processors: z
      .array(component(catalog.processors))
      .default([])
      .describe('What happens to each event, in order: filter, change, embed.'),
    sinks: z.array(component(catalog.sinks)).min(1).describe('Where events go. At least one.'),
  })
  const schema: Json = JSON.parse(JSON.stringify(z.toJSONSchema(file, { io: 'input', unrepresentable: 'any' })))
  if (!isJsonObject(schema)) throw new TypeError('a JSON Schema is an object')
  return { ...schema, title: 'Millrace pipeline' }
}

/** One key, the component's name, with its options; or just the name, where no option is needed. */
function component(definitions: ReadonlyMap<string, AnyDefinition>): z.ZodType {
  const all = [...definitions.values()]
  const entries = all.map((definition) => [definition.name, optionsOf(definition).optional()] as const)
  const mapping = z.strictObject(Object.fromEntries(entries)).meta({ minProperties: 1, maxProperties: 1 })
  const alone = all.filter((definition) => requiredOptions(definition).length === 0).map(({ name }) => name)
  return alone.length === 0 ? mapping : z.union([z.enum(alone), mapping])
}

/** The options in full and, where nothing else is needed, as the main option's value. */
function optionsOf(definition: AnyDefinition): z.ZodType {
  const { options, main, summary, example } = definition
  const forms: z.ZodType[] = [options]
  const required = requiredOptions(definition)
  const short = main === undefined || !(options instanceof z.ZodObject) ? undefined : options.shape[main]
  if (short instanceof z.ZodType && required.every((name) => name === main)) forms.push(short)
  if (required.length === 0) forms.push(z.null())
  return z.union(forms).describe(`${summary}\n\n${example}`)
}

/** The options that must be given. What is no mapping of fixed options must itself be given. */
function requiredOptions({ options, name }: AnyDefinition): readonly string[] {
  if (!(options instanceof z.ZodObject)) return options.safeParse({}).success ? [] : [name]
  return Object.entries(options.shape).flatMap(([key, schema]) => {
    return schema instanceof z.ZodType && !schema.safeParse(undefined).success ? [key] : []
  })
}
