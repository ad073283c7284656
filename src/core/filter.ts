import { z } from 'zod'

const scalar = z.union([z.string(), z.number(), z.boolean()])
const comparison = z.strictObject({
  $eq: scalar.optional(),
  $ne: scalar.optional(),
  $gt: z.union([z.number(), z.string()]).optional(),
  $gte: z.union([z.number(), z.string()]).optional(),
  $lt: z.union([z.number(), z.string()]).optional(),
  $lte: z.union([z.number(), z.string()]).optional(),
  $in: z.array(scalar).optional(),
  $nin: z.array(scalar).optional(),
  $exists: z.boolean().optional(),
})

export type Comparison = z.infer<typeof comparison>

/** A condition on a match's fields, in the JSON form that Pinecone made known: `{"category": {"$eq": "billing"}}`. */
export type Filter = {
  readonly $and?: readonly Filter[] | undefined
  readonly $or?: readonly Filter[] | undefined
  readonly [field: string]: Comparison | string | number | boolean | readonly Filter[] | undefined
}

export const filterSchema: z.ZodType<Filter> = z.lazy(() =>
  z
    .object({ $and: z.array(filterSchema).optional(), $or: z.array(filterSchema).optional() })
    .catchall(z.union([scalar, comparison])),
)
