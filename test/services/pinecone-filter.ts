import { z } from 'zod'

export type MetadataValue = string | number | boolean | string[]
export type Metadata = Record<string, MetadataValue>
export type PineconeFilter = (metadata: Metadata) => boolean

const scalar = z.union([z.string(), z.number(), z.boolean()])
const list = z.array(z.union([z.string(), z.number()])).max(10_000)
const comparison = z
  .strictObject({
    $eq: scalar,
    $ne: scalar,
    $gt: z.number(),
    $gte: z.number(),
    $lt: z.number(),
    $lte: z.number(),
    $in: list,
    $nin: list,
    $exists: z.boolean(),
  })
  .partial()
  .refine((operators) => Object.keys(operators).length > 0, 'a comparison needs an operator')

/**
 * Reads a filter as Pinecone documents its language: https://docs.pinecone.io/guides/search/filter-by-metadata. Throws for
 * what is not of the language, such as an order of texts, a null or an empty `$and`. `missingDiffers`: whether `$ne` and
 * `$nin` hold for a record without the field, which the documentation leaves open.
 */
export function readPineconeFilter(input: unknown, missingDiffers: boolean): PineconeFilter {
  const entries = Object.entries(z.record(z.string(), z.unknown()).parse(input))
  if (entries.length === 0) throw new Error('the filter is empty')
  const parts = entries.map(([name, value]) => readEntry(name, value, missingDiffers))
  return (metadata) => parts.every((part) => part(metadata))
}

function readEntry(name: string, value: unknown, missingDiffers: boolean): PineconeFilter {
  if (name === '$and' || name === '$or') {
    const inner = z.array(z.unknown()).min(1).parse(value)
    const parts = inner.map((each) => readPineconeFilter(each, missingDiffers))
    return (metadata) =>
      name === '$and' ? parts.every((part) => part(metadata)) : parts.some((part) => part(metadata))
  }
  if (name.startsWith('$')) throw new Error(`${name} is no operator at this place`)
  const plain = scalar.safeParse(value)
  const operators = plain.success ? { $eq: plain.data } : comparison.parse(value)
  return (metadata) => compare(Object.hasOwn(metadata, name) ? metadata[name] : undefined, operators, missingDiffers)
}

function compare(
  stored: MetadataValue | undefined,
  { $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists }: z.infer<typeof comparison>,
  missingDiffers: boolean,
): boolean {
  // A list of texts fits when one of them does.
  const values: readonly MetadataValue[] = stored === undefined ? [] : Array.isArray(stored) ? stored : [stored]
  const differs = (refused: readonly MetadataValue[]) =>
    stored === undefined ? missingDiffers : !values.some((value) => refused.includes(value))
  const ordered = (fits: (value: number) => boolean) => values.some((value) => typeof value === 'number' && fits(value))
  return [
    $eq === undefined || values.includes($eq),
    $ne === undefined || differs([$ne]),
    $gt === undefined || ordered((value) => value > $gt),
    $gte === undefined || ordered((value) => value >= $gte),
    $lt === undefined || ordered((value) => value < $lt),
    $lte === undefined || ordered((value) => value <= $lte),
    $in === undefined || values.some((value) => typeof value !== 'boolean' && $in.some((each) => each === value)),
    $nin === undefined || differs($nin),
    $exists === undefined || (stored !== undefined) === $exists,
  ].every(Boolean)
}
