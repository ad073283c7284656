import { z } from 'zod'

/**
 * The bodies of the API by name: what is validated, and what `/openapi.json` describes. Requests and answers are kept
 * apart, because a field with a default is optional in one and always there in the other.
 */
export const requests = z.registry<{ id: string }>()
export const answers = z.registry<{ id: string }>()

export function request<T extends z.ZodType>(id: string, schema: T): T {
  requests.add(schema, { id })
  return schema
}

export function answer<T extends z.ZodType>(id: string, schema: T): T {
  answers.add(schema, { id })
  return schema
}

/** Any JSON value. */
export const anyJson = z.unknown()

export const position = answer(
  'Position',
  z.object({ topic: z.string(), partition: z.int(), offset: z.int() }).describe('Identity of an event in the log.'),
)

export const problemDetails = answer(
  'Problem',
  z
    .object({
      title: z.string(),
      status: z.int(),
      code: z.string().describe('Stable, for programs.'),
      detail: z.string().describe('What is wrong, and where.'),
      hint: z.string().optional().describe('What to do about it.'),
      errors: z
        .array(
          z.object({
            index: z.int().optional().describe('Of the event in the request, from 0.'),
            pointer: z.string().optional().describe('JSON pointer to what is wrong.'),
            line: z.int().optional().describe('Of a text, such as a pipeline, from 1.'),
            column: z.int().optional(),
            code: z.string().optional(),
            message: z.string(),
            hint: z.string().optional(),
          }),
        )
        .optional(),
    })
    .describe('Problem details, RFC 9457.'),
)

/** A whole number in a query string. */
export function wholeNumber(least: number, most: number) {
  return z.coerce.number().int().min(least).max(most)
}
