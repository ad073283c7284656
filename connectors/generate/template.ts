import { z } from 'zod'
import { isJsonObject, type Json, type JsonObject } from '../../src/core/event.ts'
import type { Random } from './random.ts'

type Range = readonly [number, number]

interface Sequence {
  readonly sequence: true | number
}
interface OneOf {
  readonly oneOf: readonly Template[] | Readonly<Record<string, number>>
}
interface Between {
  readonly between: Range
  readonly decimals?: number | undefined
}
interface Join {
  readonly join: Template
  readonly with?: string | undefined
}
interface Repeat {
  readonly repeat: Template
  readonly times: number | Range
}
interface Merge {
  readonly merge: readonly Template[]
}
interface Fields {
  readonly [name: string]: Template
}
type Constant = string | number | boolean | null
type Made = Sequence | OneOf | Between | Join | Repeat | Merge

/** What a generated value looks like. Constants stand for themselves; everything else is made anew each time. */
export type Template = Constant | readonly Template[] | Made | Fields

const inner: z.ZodType<Template> = z.lazy(() => template)
const range = z
  .tuple([z.number(), z.number()])
  .refine(([low, high]) => low <= high, 'give the lower bound first, then the higher')
const whole = z.int().nonnegative()

const kinds = {
  sequence: z
    .strictObject({ sequence: z.union([z.literal(true), z.int()]) })
    .describe('Counts the events, from 1 or from the number given.'),
  oneOf: z
    .strictObject({ oneOf: z.union([z.array(inner).min(1), z.record(z.string(), z.number().positive())]) })
    .describe('One of a list, each as likely; or one of the texts that are given with their weights.'),
  between: z
    .strictObject({ between: range, decimals: whole.max(10).optional() })
    .describe('A number within the bounds: whole if both are and no decimals are asked for, else with 2 decimals.'),
  join: z
    .strictObject({ join: inner, with: z.string().optional() })
    .describe('The items of a list as one text, with a space or the text given between them. Empty ones are left out.'),
  repeat: z
    .strictObject({ repeat: inner, times: z.union([whole, range]) })
    .describe('A list of so many items, each made anew.'),
  merge: z.strictObject({ merge: z.array(inner).min(1) }).describe('Several objects as one.'),
}
const names: readonly string[] = Object.keys(kinds)

export const template: z.ZodType<Template> = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.null(),
  z.array(inner),
  kinds.sequence,
  kinds.oneOf,
  kinds.between,
  kinds.join,
  kinds.repeat,
  kinds.merge,
  z
    .record(z.string(), inner)
    .refine((fields) => !names.some((name) => Object.hasOwn(fields, name)), `${names.join(', ')} stand alone`),
])

/** Makes one value; `index` counts the events from 0. */
export type Make = (random: Random, index: number) => Json

export function compile(part: Template): Make {
  if (typeof part !== 'object' || part === null) return () => part
  if (isList(part)) return makeList(part.map(compile))
  return isMade(part)
    ? compileMade(part)
    : makeObject(Object.entries(part).map(([name, field]) => [name, compile(field)]))
}

function compileMade(part: Made): Make {
  if (isSequence(part)) {
    const first = part.sequence === true ? 1 : part.sequence
    return (_random, index) => first + index
  }
  if (isOneOf(part)) return isList(part.oneOf) ? oneOf(part.oneOf.map(compile)) : weighted(Object.entries(part.oneOf))
  if (isBetween(part)) return between(part.between, part.decimals)
  if (isJoin(part)) return join(compile(part.join), part.with ?? ' ')
  if (isRepeat(part))
    return repeat(compile(part.repeat), typeof part.times === 'number' ? [part.times, part.times] : part.times)
  return merge(part.merge.map(compile))
}

const isList = <Item>(part: readonly Item[] | object): part is readonly Item[] => Array.isArray(part)
const isSequence = (part: Made): part is Sequence => 'sequence' in part
const isOneOf = (part: Made): part is OneOf => 'oneOf' in part
const isBetween = (part: Made): part is Between => 'between' in part
const isJoin = (part: Made): part is Join => 'join' in part
const isRepeat = (part: Made): part is Repeat => 'repeat' in part
const isMade = (part: Made | Fields): part is Made => names.some((name) => Object.hasOwn(part, name))

function makeList(items: readonly Make[]): Make {
  return (random, index) => items.map((item) => item(random, index))
}

function makeObject(fields: readonly (readonly [string, Make])[]): Make {
  return (random, index) => {
    const value: Record<string, Json> = {}
    for (const [name, make] of fields) value[name] = make(random, index)
    return value
  }
}

function oneOf(choices: readonly Make[]): Make {
  return (random, index) => choices[Math.floor(random() * choices.length)]?.(random, index) ?? null
}

function weighted(choices: readonly (readonly [string, number])[]): Make {
  const total = choices.reduce((sum, [, weight]) => sum + weight, 0)
  return (random) => {
    let left = random() * total
    for (const [text, weight] of choices) {
      left -= weight
      if (left < 0) return text
    }
    return choices.at(-1)?.[0] ?? null
  }
}

function between([low, high]: Range, decimals: number | undefined): Make {
  const places = decimals ?? (Number.isInteger(low) && Number.isInteger(high) ? 0 : 2)
  const scale = 10 ** places
  const first = Math.round(low * scale)
  const steps = Math.round(high * scale) - first + 1
  return (random) => (first + Math.floor(random() * steps)) / scale
}

function join(make: Make, separator: string): Make {
  return (random, index) => {
    const made = make(random, index)
    return Array.isArray(made) ? made.filter((item) => item !== '').join(separator) : String(made)
  }
}

function repeat(make: Make, [low, high]: Range): Make {
  const times = between([Math.floor(low), Math.floor(high)], 0)
  return (random, index) => Array.from({ length: Number(times(random, index)) }, () => make(random, index))
}

function merge(parts: readonly Make[]): Make {
  return (random, index) => {
    let merged: JsonObject = {}
    for (const part of parts) {
      const made = part(random, index)
      if (isJsonObject(made)) merged = { ...merged, ...made }
    }
    return merged
  }
}
