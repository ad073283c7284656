import { Ajv, type ErrorObject, type Options } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { errorMessage } from '../core/errors.ts'
import { isJsonObject, type Json, type JsonObject } from '../core/event.ts'
import { didYouMean } from '../core/nearest.ts'
import type { SchemaProblem } from '../core/serde.ts'
import { decodeJson, encodeJson } from './json.ts'
import {
  allReferences,
  type Contract,
  childPointer,
  maxProblems,
  noPrefix,
  type SchemaSource,
  unusable,
} from './schema.ts'

/** Unknown keywords and formats are errors: a misspelt `required` would otherwise check nothing. */
const ownOptions: Options = {
  allErrors: true,
  verbose: true,
  strictTypes: false,
  strictTuples: false,
  strictRequired: false,
  logger: false,
}
/** Others may use keywords and drafts that are not known here. */
const foreignOptions: Options = { ...ownOptions, strict: false, validateSchema: false, addUsedSchema: false }

type Validator = { (value: Json): unknown; errors?: ErrorObject[] | null }

/**
 * A contract from a JSON Schema, of draft 2020-12 unless `$schema` says another. A schema of one's own is checked to the
 * letter and at once; a registry's (`foreign`) only when a value is. Throws `InvalidInput` (`schema_unusable`).
 */
export function jsonContract(source: SchemaSource, foreign = false): Contract {
  const schema = parseSchema(source)
  let validator: Validator | undefined
  const compiled = () => {
    validator ??= compile(schema, source, foreign)
    return validator
  }
  if (!foreign) compiled()
  return {
    format: 'json',
    schema,
    fields: isJsonObject(schema) ? declaredFields(schema) : undefined,
    decode: decodeJson,
    decodeFramed: decodeJson,
    encode: encodeJson,
    framePrefix: noPrefix,
    validate: (value) => {
      const check = compiled()
      return check(value) ? [] : (check.errors ?? []).slice(0, maxProblems).map(problem)
    },
  }
}

function parseSchema({ text, origin }: SchemaSource): JsonObject | boolean {
  let schema: Json
  try {
    schema = JSON.parse(text)
  } catch (error) {
    throw unusable(origin, `it is not JSON: ${errorMessage(error)}`, error)
  }
  if (isJsonObject(schema) || typeof schema === 'boolean') return schema
  throw unusable(origin, 'a JSON Schema is an object')
}

function compile(schema: JsonObject | boolean, source: SchemaSource, foreign: boolean): Validator {
  const draft = typeof schema === 'object' ? String(schema.$schema) : ''
  const options = foreign ? foreignOptions : ownOptions
  const ajv = /draft-0[4-7]/.test(draft) ? new Ajv(options) : new Ajv2020(options)
  try {
    addFormats.default(ajv)
    for (const [uri, referred] of referredSchemas(source, schema)) ajv.addSchema(referred, uri)
    return ajv.compile<Json>(schema)
  } catch (error) {
    throw unusable(source.origin, errorMessage(error), error)
  }
}

/** Schemas by the URIs under which others refer to them: as it is written, and resolved against the `$id` of any of them. */
function referredSchemas(source: SchemaSource, schema: JsonObject | boolean): Map<string, JsonObject | boolean> {
  const references = allReferences(source).map(({ name, source: inner }) => [name, parseSchema(inner)] as const)
  const bases = [schema, ...references.map(([, referred]) => referred)].map(idOf).filter((id) => id !== undefined)
  const found = new Map<string, JsonObject | boolean>()
  for (const [name, referred] of references) {
    for (const uri of [
      name,
      ...bases.filter((base) => URL.canParse(name, base)).map((base) => new URL(name, base).href),
    ]) {
      if ((uri === name || uri !== idOf(referred)) && !found.has(uri)) found.set(uri, referred)
    }
  }
  return found
}

function idOf(schema: JsonObject | boolean): string | undefined {
  return typeof schema === 'object' && typeof schema.$id === 'string' ? schema.$id : undefined
}

/**
 * The fields that an event may be expected to have: the schema's own properties. Nothing is known when it composes
 * other schemas or says `additionalProperties: true` in so many words.
 */
function declaredFields(schema: JsonObject): ReadonlySet<string> | undefined {
  const composed = ['$ref', '$dynamicRef', 'allOf', 'anyOf', 'oneOf', 'if', 'patternProperties', 'dependentSchemas']
  const { properties, additionalProperties } = schema
  if (!isJsonObject(properties) || composed.some((keyword) => keyword in schema)) return undefined
  const open = additionalProperties === true || isJsonObject(additionalProperties)
  return open ? undefined : new Set(Object.keys(properties))
}

function problem({
  instancePath,
  keyword,
  params,
  message = 'does not fit',
  parentSchema,
}: ErrorObject): SchemaProblem {
  const name = (value: unknown) => String(value)
  switch (keyword) {
    case 'required':
      return { pointer: childPointer(instancePath, name(params.missingProperty)), message: 'is missing' }
    case 'additionalProperties':
    case 'unevaluatedProperties': {
      const key = name(params.additionalProperty ?? params.unevaluatedProperty)
      const known = Object.keys(parentSchema?.properties ?? {})
      return { pointer: childPointer(instancePath, key), message: `is not a known field${didYouMean(key, known)}` }
    }
    case 'enum':
      return { pointer: instancePath, message: `must be one of ${JSON.stringify(params.allowedValues)}` }
    case 'const':
      return { pointer: instancePath, message: `must be ${JSON.stringify(params.allowedValue)}` }
    default:
      return { pointer: instancePath, message }
  }
}

/** The documents that a schema refers to, as it names them. Throws `InvalidInput` (`schema_unusable`). */
export function jsonReferences(text: string, origin: string): string[] {
  const schema = parseSchema({ type: 'JSON', text, origin, references: [] })
  const names = new Set<string>()
  const own = new Set<string>()
  const walk = (node: Json): void => {
    if (typeof node !== 'object' || node === null) return
    if (isJsonObject(node)) {
      if (typeof node.$ref === 'string') names.add(node.$ref.replace(/#.*$/, ''))
      if (typeof node.$id === 'string') own.add(node.$id)
    }
    for (const child of Object.values(node)) walk(child)
  }
  walk(schema)
  return [...names].filter((name) => name !== '' && !own.has(name) && !name.includes('json-schema.org/'))
}
