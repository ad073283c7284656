import { z } from 'zod'
import { defineProcessor, type Failure, type Outcome } from '../core/component.ts'
import { type Event, isJsonObject } from '../core/event.ts'
import { unlessAborted } from '../core/unless-aborted.ts'
import { type Descriptions, describedBy, type Found, Labels } from './labels.ts'
import { withValue } from './outcome.ts'
import { eitherOr, meaningOptions, meaningReferences, meaningsOf, ownFields } from './texts.ts'

/** Descriptions of all labels together: so many take 150 MB with vectors of 384 numbers. */
const mostDescriptions = 100_000

const description = z.string().regex(/\S/, 'describe the label in words')

const options = z
  .strictObject({
    ...meaningOptions,
    as: z.string().min(1).default('label').describe('The field that takes the name of the nearest label.'),
    labels: z
      .record(z.string().min(1), z.union([description, z.array(description).min(1)]))
      .superRefine(checkLabels)
      .describe(
        'Each label with the words that describe it, or with a list of descriptions, of which the nearest counts. The ' +
          'words are embedded and compared, so put them as such an event would: `how do I do this` finds more questions ' +
          'than `a question about usage`.',
      ),
    minScore: z
      .number()
      .min(-1)
      .max(1)
      .optional()
      .describe('The least cosine similarity for a label to count. Left out: the nearest always counts.'),
    otherwise: z.string().optional().describe('The label where none reaches `minScore`; null when left out.'),
    scoreAs: z.string().min(1).optional().describe('A field that takes the similarity to the nearest label, -1 to 1.'),
  })
  .refine(...eitherOr)
  .superRefine(ownFields('as', 'scoreAs'))
  .refine(({ otherwise, minScore }) => otherwise === undefined || minScore !== undefined, {
    message: '"otherwise" never comes to pass without "minScore"',
    path: ['otherwise'],
  })

type Options = z.infer<typeof options>

/** Sets a field to the label whose description is nearest in meaning. */
export const classify = defineProcessor({
  kind: 'processor',
  name: 'classify',
  summary: 'Sets a field to the label, described in words, that is nearest in meaning.',
  example: `classify:
  vector: meaning
  as: category
  labels:
    billing: invoices, payments, charges and refunds
    outage: [the service is down, it answers with errors]
    howto: how do I do this, where do I find it`,
  options,
  references: (options) => meaningReferences(options),
  shape({ as, scoreAs }, input) {
    if (input.fields === undefined) return input
    return { ...input, fields: new Set([...input.fields, as, ...(scoreAs === undefined ? [] : [scoreAs])]) }
  },
  async create(options, context) {
    const embedder = await context.services.embedder()
    const meanings = meaningsOf(options, embedder, context)
    const labels = new Labels(options.labels, embedder)
    return {
      async process(batch, { signal }) {
        const vectors = await meanings(batch, signal)
        await unlessAborted(labels.ready(), signal)
        const found = (await labels.nearest(vectors.filter((vector) => vector instanceof Float32Array))).values()
        return batch.map((event, index) => {
          const vector = vectors[index]
          if (vector === undefined) throw new Error('there are fewer vectors than events')
          return 'failed' in vector ? vector : classified(event, found.next().value, options, context.component)
        })
      },
    }
  },
})

function checkLabels(labels: Descriptions, { addIssue }: z.RefinementCtx): void {
  const described = describedBy(labels)
  if (described.length === 0) addIssue({ code: 'custom', message: 'name at least one label' })
  if (described.length > mostDescriptions) {
    const message = `${described.length} descriptions of labels are more than the ${mostDescriptions} that fit`
    addIssue({ code: 'custom', message })
  }
  const owners = new Map<string, string>()
  for (const { label, words } of described) {
    const owner = owners.get(words) ?? label
    owners.set(words, owner)
    if (owner === label) continue
    const message = `"${owner}" is described in the same words, so "${label}" would never be nearer than it`
    addIssue({ code: 'custom', message, path: [label] })
  }
}

function classified(
  event: Event,
  found: Found | undefined,
  { as, minScore, otherwise, scoreAs }: Options,
  component: string,
): Outcome | Failure {
  if (found === undefined) throw new Error('there are fewer labels found than vectors')
  if (!isJsonObject(event.value)) {
    const message = `${component}: the value is no object, so it cannot take the field "${as}". Use "map" before it.`
    return { failed: true, code: 'value_not_object', message }
  }
  const { label, score } = found
  const counts = minScore === undefined || score >= minScore
  const fields = { [as]: counts ? label : (otherwise ?? null), ...(scoreAs === undefined ? {} : { [scoreAs]: score }) }
  return withValue(event, { ...event.value, ...fields })
}
