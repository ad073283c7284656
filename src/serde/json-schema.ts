import { Ajv, type ErrorObject, type Options } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { errorMessage, InvalidInput } from '../core/errors.ts'
import { isJsonObject, type Json, type JsonObject } from '../core/event.ts'
import { didYouMean } from '../core/nearest.ts'
import type { SchemaProblem } from '../core/serde.ts'
import type { JsonContract } from './json.ts'

/** More of them help nobody, and a hostile value could have millions. */
const maxProblems = 20

/** Unknown keywords and formats are errors: a misspelt `required` would otherwise check nothing. */
const options: Options = {
  allErrors: true,
  verbose: true,
  strictTypes: false,
  strictTuples: false,
  strictRequired: false,
  logger: false,
}

/**
 * A contract from a JSON Schema, of draft 2020-12 unless `$schema` says draft-07. `file` names it in errors.
 * Throws `InvalidInput` (`schema_unusable`).
 */
export function jsonContract(text: string, file: string): JsonContract {
  const schema = parseSchema(text, file)
  const validator = compile(schema, file)
  return {
    schema,
    fields: isJsonObject(schema) ? declaredFields(schema) : undefined,
    validate: (value) => (validator(value) ? [] : (validator.errors ?? []).slice(0, maxProblems).map(problem)),
  }
}

function parseSchema(text: string, file: string): JsonObject | boolean {
  let schema: Json
  try {
    schema = JSON.parse(text)
  } catch (error) {
    throw unusable(file, `it is not JSON: ${errorMessage(error)}`, error)
  }
  if (isJsonObject(schema) || typeof schema === 'boolean') return schema
  throw unusable(file, 'a JSON Schema is an object')
}

function compile(schema: JsonObject | boolean, file: string) {
  const draft7 = typeof schema === 'object' && String(schema.$schema).includes('draft-07')
  const ajv = draft7 ? new Ajv(options) : new Ajv2020(options)
  try {
    addFormats.default(ajv)
    return ajv.compile(schema)
  } catch (error) {
    throw unusable(file, errorMessage(error), error)
  }
}

function unusable(file: string, why: string, cause?: unknown): InvalidInput {
  return new InvalidInput({ code: 'schema_unusable', message: `the schema ${file} cannot be used: ${why}`, cause })
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
      return { pointer: child(instancePath, name(params.missingProperty)), message: 'is missing' }
    case 'additionalProperties':
    case 'unevaluatedProperties': {
      const key = name(params.additionalProperty ?? params.unevaluatedProperty)
      const known = Object.keys(parentSchema?.properties ?? {})
      return { pointer: child(instancePath, key), message: `is not a known field${didYouMean(key, known)}` }
    }
    case 'enum':
      return { pointer: instancePath, message: `must be one of ${JSON.stringify(params.allowedValues)}` }
    case 'const':
      return { pointer: instancePath, message: `must be ${JSON.stringify(params.allowedValue)}` }
    default:
      return { pointer: instancePath, message }
  }
}

/** RFC 6901. */
function child(pointer: string, name: string): string {
  return `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
}
