import { z } from 'zod'
import { type Metadata, readPineconeFilter } from './pinecone-filter.ts'

/** https://docs.pinecone.io/reference/api/database-limits/operation-limits */
const megabyte = 1024 * 1024
const maximumMetadataBytes = 40 * 1024
const maximumAnswerBytes = 4 * megabyte
const largestTopK = 10_000

export interface PineconeIndexSettings {
  /** How long a write stays unseen, in milliseconds. */
  freshnessMs: number
  missingDiffers: boolean
  /** Whether answers carry the numbers of writes. */
  numbered: boolean
}

export interface IndexAnswer {
  readonly body: object
  readonly headers?: Record<string, string>
}

export class RequestError extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

interface StoredRecord {
  readonly id: string
  readonly values: Float32Array
  readonly metadata: Metadata
}
type Change = (records: Map<string, StoredRecord>) => void
interface Pending {
  readonly lsn: number
  readonly visibleAt: number
  readonly change: Change
}

const id = z
  .string()
  .min(1)
  .max(512)
  .regex(/^\p{ASCII}*$/u, 'ids are ASCII')
const metadata = z.record(
  z.string().regex(/^[^$]/),
  z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]),
)
const namespaceName = z.string().max(512).optional()
const upsertRequest = z.strictObject({
  vectors: z
    .array(z.strictObject({ id, values: z.array(z.number()), metadata: metadata.optional() }))
    .min(1)
    .max(1_000),
  namespace: namespaceName,
})
const queryRequest = z.strictObject({
  namespace: namespaceName,
  topK: z.int().min(1).max(largestTopK),
  filter: z.unknown().optional(),
  includeValues: z.boolean().optional(),
  includeMetadata: z.boolean().optional(),
  vector: z.array(z.number()),
})
const deleteRequest = z.strictObject({ ids: z.array(id).min(1).max(1_000), namespace: namespaceName })
const updateRequest = z.strictObject({ id, setMetadata: metadata, namespace: namespaceName })

/** One namespace: its writes take effect in order, some time after they were answered. */
class FakeNamespace {
  readonly #records = new Map<string, StoredRecord>()
  readonly #pending: Pending[] = []
  #lsn = 0
  indexed = 0

  write(change: Change, freshnessMs: number): number {
    this.#lsn += 1
    this.#pending.push({ lsn: this.#lsn, visibleAt: Date.now() + freshnessMs, change })
    return this.#lsn
  }

  get records(): ReadonlyMap<string, StoredRecord> {
    while ((this.#pending[0]?.visibleAt ?? Number.POSITIVE_INFINITY) <= Date.now()) {
      const { lsn, change } = this.#pending.shift() ?? {}
      change?.(this.#records)
      this.indexed = lsn ?? this.indexed
    }
    return this.#records
  }
}

/** The data plane of one dense serverless index with the metric cosine, in memory. */
export class FakePineconeIndex {
  readonly #dimension: number
  readonly #settings: PineconeIndexSettings
  readonly #namespaces = new Map<string, FakeNamespace>()

  constructor(dimension: number, settings: PineconeIndexSettings) {
    this.#dimension = dimension
    this.#settings = settings
  }

  answer(method: string, path: string, search: URLSearchParams, body: string): IndexAnswer {
    const key = `${method} ${path}`
    switch (key) {
      case 'POST /vectors/upsert':
        return this.#upsert(body)
      case 'POST /vectors/delete':
        return this.#delete(body)
      case 'POST /vectors/update':
        return this.#update(body)
      case 'POST /query':
        return this.#query(body)
      case 'GET /vectors/fetch':
        return this.#fetch(search)
      case 'GET /vectors/list':
        return this.#list(search)
      case 'POST /describe_index_stats':
        z.strictObject({}).parse(JSON.parse(body))
        return this.#stats()
      case 'GET /namespaces':
        onlyParameters(search, ['limit', 'paginationToken'])
        return { body: { namespaces: [...this.#namespaces].map(summary) } }
      default:
        return this.#namespaceOperation(key)
    }
  }

  #upsert(text: string): IndexAnswer {
    if (Buffer.byteLength(text) > 2 * megabyte) throw new RequestError(400, 'the request is larger than 2 MB')
    const { vectors, namespace } = upsertRequest.parse(JSON.parse(text))
    const records = vectors.map((vector) => {
      if (vector.values.length !== this.#dimension) {
        throw new RequestError(400, `Vector dimension ${vector.values.length} does not match ${this.#dimension}`)
      }
      if (!vector.values.some((value) => value !== 0)) {
        throw new RequestError(400, 'Dense vectors must contain at least one non-zero value')
      }
      assertMetadataSize(vector.metadata ?? {})
      return { id: vector.id, values: Float32Array.from(vector.values), metadata: vector.metadata ?? {} }
    })
    if (new Set(records.map((record) => record.id)).size < records.length) {
      throw new RequestError(400, 'an id occurs twice in the request')
    }
    return this.#written(this.#made(namespace), { upsertedCount: records.length }, (stored) => {
      for (const record of records) stored.set(record.id, record)
    })
  }

  #delete(text: string): IndexAnswer {
    const { ids, namespace } = deleteRequest.parse(JSON.parse(text))
    return this.#written(this.#existing(namespace), {}, (stored) => {
      for (const each of ids) stored.delete(each)
    })
  }

  #update(text: string): IndexAnswer {
    const { id: wanted, setMetadata, namespace } = updateRequest.parse(JSON.parse(text))
    return this.#written(this.#made(namespace), {}, (stored) => {
      const record = stored.get(wanted)
      if (record !== undefined) stored.set(wanted, { ...record, metadata: { ...record.metadata, ...setMetadata } })
    })
  }

  #query(text: string): IndexAnswer {
    const request = queryRequest.parse(JSON.parse(text))
    if (request.vector.length !== this.#dimension) throw new RequestError(400, 'Vector dimension does not match')
    const { missingDiffers } = this.#settings
    const fits = request.filter === undefined ? () => true : readPineconeFilter(request.filter, missingDiffers)
    const space = this.#namespaces.get(nameOf(request.namespace))
    const vector = Float32Array.from(request.vector)
    const matches = [...(space?.records.values() ?? [])]
      .filter((record) => fits(record.metadata))
      .map((record) => ({ record, score: cosine(vector, record.values) }))
      .sort((left, right) => right.score - left.score)
      .slice(0, request.topK)
      .map(({ record, score }) => ({
        id: record.id,
        score,
        values: request.includeValues ? [...record.values] : [],
        ...(request.includeMetadata ? { metadata: record.metadata } : {}),
      }))
    return this.#read(space, { matches, namespace: request.namespace ?? '', usage: { readUnits: 1 } })
  }

  #fetch(search: URLSearchParams): IndexAnswer {
    onlyParameters(search, ['ids', 'namespace'])
    const ids = z.array(id).min(1).max(1_000).parse(search.getAll('ids'))
    const space = this.#namespaces.get(nameOf(search.get('namespace')))
    const records = space?.records
    const vectors = ids.flatMap((each) => {
      const record = records?.get(each)
      return record === undefined ? [] : [[each, { ...record, values: [...record.values] }] as const]
    })
    return this.#read(space, { vectors: Object.fromEntries(vectors), namespace: search.get('namespace') ?? '' })
  }

  #list(search: URLSearchParams): IndexAnswer {
    onlyParameters(search, ['prefix', 'limit', 'paginationToken', 'namespace'])
    const limit = z.coerce
      .number()
      .int()
      .min(1)
      .max(100)
      .parse(search.get('limit') ?? 100)
    const after = search.get('paginationToken')
    const space = this.#namespaces.get(nameOf(search.get('namespace')))
    const ids = [...(space?.records.keys() ?? [])]
      .filter((each) => each.startsWith(search.get('prefix') ?? '') && (after === null || each > after))
      .sort()
    const page = ids.slice(0, limit)
    const next = ids.length > limit ? { pagination: { next: page.at(-1) } } : {}
    return this.#read(space, { vectors: page.map((each) => ({ id: each })), ...next })
  }

  #stats(): IndexAnswer {
    const namespaces = [...this.#namespaces].map(
      ([name, space]) => [name, { vectorCount: space.records.size }] as const,
    )
    const totalVectorCount = namespaces.reduce((sum, [, { vectorCount }]) => sum + vectorCount, 0)
    return {
      body: {
        namespaces: Object.fromEntries(namespaces),
        dimension: this.#dimension,
        indexFullness: 0,
        totalVectorCount,
        metric: 'cosine',
        vectorType: 'dense',
      },
    }
  }

  #namespaceOperation(key: string): IndexAnswer {
    const [, method, name = ''] = /^(GET|DELETE) \/namespaces\/([^/]+)$/.exec(key) ?? []
    if (method === undefined) throw new RequestError(404, `${key} is not part of the API`)
    const wanted = decodeURIComponent(name)
    const space = this.#existing(wanted)
    if (method === 'DELETE') this.#namespaces.delete(nameOf(wanted))
    return { body: method === 'DELETE' ? {} : summary([wanted, space]) }
  }

  #made(name: string | undefined): FakeNamespace {
    const space = this.#namespaces.get(nameOf(name)) ?? new FakeNamespace()
    this.#namespaces.set(nameOf(name), space)
    return space
  }

  #existing(name: string | undefined): FakeNamespace {
    const space = this.#namespaces.get(nameOf(name))
    if (space === undefined) throw new RequestError(404, 'Namespace not found')
    return space
  }

  #written(space: FakeNamespace, body: object, change: Change): IndexAnswer {
    const lsn = space.write(change, this.#settings.freshnessMs)
    return this.#settings.numbered ? { body, headers: { 'x-pinecone-request-lsn': String(lsn) } } : { body }
  }

  #read(space: FakeNamespace | undefined, body: object): IndexAnswer {
    if (Buffer.byteLength(JSON.stringify(body)) > maximumAnswerBytes) {
      throw new RequestError(400, 'the result is larger than 4 MB')
    }
    if (!this.#settings.numbered) return { body }
    return { body, headers: { 'x-pinecone-max-indexed-lsn': String(space?.indexed ?? 0) } }
  }
}

function summary([name, space]: readonly [string, FakeNamespace]) {
  return { name, record_count: String(space.records.size) }
}

function nameOf(name: string | null | undefined): string {
  return name === undefined || name === null || name === '' ? '__default__' : name
}

function onlyParameters(search: URLSearchParams, names: readonly string[]): void {
  const unknown = [...search.keys()].find((name) => !names.includes(name))
  if (unknown !== undefined) throw new RequestError(400, `unknown parameter ${unknown}`)
}

function assertMetadataSize(stored: Metadata): void {
  const bytes = Buffer.byteLength(JSON.stringify(stored))
  if (bytes > maximumMetadataBytes) throw new RequestError(400, `Metadata size is ${bytes} bytes, which exceeds 40960`)
}

function cosine(left: Float32Array, right: Float32Array): number {
  let dot = 0
  let leftSquares = 0
  let rightSquares = 0
  for (let index = 0; index < left.length; index++) {
    const one = left[index] ?? 0
    const other = right[index] ?? 0
    dot += one * other
    leftSquares += one * one
    rightSquares += other * other
  }
  return dot / Math.sqrt(leftSquares * rightSquares)
}
