import { z } from 'zod'

/** What a person needs to know of one option. */
export interface OptionReference {
  readonly name: string
  readonly type: string
  readonly required: boolean
  /** As it would be written in YAML. */
  readonly default?: string | undefined
  readonly description: string
}

const property = z.looseObject({
  type: z.union([z.string(), z.array(z.string())]).optional(),
  description: z.string().optional(),
  default: z.unknown().optional(),
  enum: z.array(z.unknown()).optional(),
  const: z.unknown().optional(),
  get items() {
    return property.optional()
  },
  get anyOf() {
    return z.array(property).optional()
  },
  get oneOf() {
    return z.array(property).optional()
  },
})
type Property = z.infer<typeof property>

const options = z.looseObject({
  description: z.string().default(''),
  properties: z.record(z.string(), property).optional(),
  required: z.array(z.string()).default([]),
})

/** Stands for the names of a component whose options are named freely. */
const freeName = '<name>'

/**
 * The options of a component, as its schema declares them. Where their names are free, there is one, under `freeName`,
 * that tells what all of them are.
 */
export function optionReferences(schema: z.ZodType): OptionReference[] {
  const declared = options.parse(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }))
  const { properties, required, description } = declared
  if (properties === undefined)
    return [{ name: freeName, type: 'any', required: true, default: undefined, description }]
  return Object.entries(properties).map(([name, declared]) => ({
    name,
    type: typeOf(declared),
    required: required.includes(name),
    default: declared.default === undefined ? undefined : JSON.stringify(declared.default),
    description: declared.description ?? '',
  }))
}

function typeOf(declared: Property): string {
  const choices = declared.anyOf ?? declared.oneOf
  if (choices !== undefined) return [...new Set(choices.map(typeOf))].join(' or ')
  if (declared.enum !== undefined) return declared.enum.map((value) => String(value)).join(' | ')
  if (declared.const !== undefined) return String(declared.const)
  if (declared.type === 'array') return declared.items === undefined ? 'list' : `list of ${typeOf(declared.items)}`
  if (declared.type === undefined) return 'any'
  return [declared.type].flat().map(plainType).join(' or ')
}

function plainType(type: string): string {
  const names: Readonly<Record<string, string>> = { object: 'mapping', array: 'list', integer: 'whole number' }
  return names[type] ?? type
}
