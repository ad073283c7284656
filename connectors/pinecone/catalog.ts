import type { Index } from '@pinecone-database/pinecone'
import { InvalidInput } from '../../src/core/errors.ts'
import { type FieldType, fieldKey, fieldOfKey, isFieldType } from '../../src/core/vector-rules.ts'
import type { CollectionSpec } from '../../src/core/vector-store.ts'
import type { Connection } from './connection.ts'
import { Namespace, orMissing, unitVector } from './namespace.ts'

export interface Description {
  readonly fingerprint: string
  readonly dimension: number
  readonly fields: readonly FieldEntry[]
}
export type FieldEntry = readonly [name: string, type: FieldType | null]

/** No collection's name begins with an underscore. */
const catalogNamespace = '_millrace'
const untyped = 'untyped'
const maximumIdLength = 512
const fetchedAtOnce = 50

/**
 * What is known of the collections, in a namespace of the same index. A collection has a record under its name, with
 * fingerprint and dimension, and one under `name/field/type` for each thing that is known of a field. Such records are only
 * ever added, so that writers who add fields at once, or make the same collection at once, do not undo each other.
 */
export class Catalog {
  readonly #namespace: Namespace
  readonly #dimension: number

  constructor(connection: Connection, dimension: number) {
    this.#dimension = dimension
    this.#namespace = new Namespace(connection, catalogNamespace, dimension)
  }

  async read(name: string): Promise<Description | undefined> {
    const head = (await this.#heads([name])).get(name)
    return head && { ...head, fields: fieldsOf(name, await this.#ids(`${name}/`)) }
  }

  /** All collections. */
  async all(): Promise<ReadonlyMap<string, Description>> {
    const ids = await this.#ids()
    const heads = await this.#heads(ids.filter((id) => !id.includes('/')))
    return new Map([...heads].map(([name, head]) => [name, { ...head, fields: fieldsOf(name, ids) }]))
  }

  async create({ name, fingerprint, dimension, fields }: CollectionSpec): Promise<void> {
    await this.#add([
      { id: name, metadata: { fingerprint, dimension } },
      ...fields.map((field) => ({ id: entryId(name, field, null) })),
    ])
  }

  async learn(name: string, fields: Iterable<FieldEntry>): Promise<void> {
    await this.#add([...fields].map(([field, type]) => ({ id: entryId(name, field, type) })))
  }

  async fields(name: string): Promise<readonly FieldEntry[]> {
    return fieldsOf(name, await this.#ids(`${name}/`))
  }

  async #add(entries: readonly { id: string; metadata?: Record<string, string | number> }[]): Promise<void> {
    const values = unitVector(this.#dimension)
    const records = entries.map((entry) => ({ ...entry, values }))
    for (let from = 0; from < records.length; from += fetchedAtOnce) {
      const some = records.slice(from, from + fetchedAtOnce)
      const last = some.at(-1)?.id ?? ''
      await this.#namespace.write(
        'writing what collections there are',
        (index) => index.upsert({ records: some, namespace: catalogNamespace }),
        async (index) => Object.hasOwn((await fetchRecords(index, [last])).records, last),
      )
    }
  }

  async #heads(names: readonly string[]): Promise<Map<string, { fingerprint: string; dimension: number }>> {
    const heads = new Map<string, { fingerprint: string; dimension: number }>()
    for (let from = 0; from < names.length; from += fetchedAtOnce) {
      const some = names.slice(from, from + fetchedAtOnce)
      const found = await orMissing(
        this.#namespace.read('reading what collections there are', (index) => fetchRecords(index, some)),
      )
      for (const [name, { metadata }] of Object.entries(found?.records ?? {})) {
        const { fingerprint, dimension } = metadata ?? {}
        if (typeof fingerprint !== 'string' || typeof dimension !== 'number') continue
        heads.set(name, { fingerprint, dimension })
      }
    }
    return heads
  }

  async #ids(prefix?: string): Promise<string[]> {
    const ids: string[] = []
    let paginationToken: string | undefined
    do {
      const page = await orMissing(
        this.#namespace.read('reading what collections there are', (index) =>
          index.listPaginated({
            namespace: catalogNamespace,
            ...(prefix === undefined ? {} : { prefix }),
            ...(paginationToken === undefined ? {} : { paginationToken }),
          }),
        ),
      )
      ids.push(...(page?.vectors ?? []).flatMap(({ id }) => id ?? []))
      paginationToken = page?.pagination?.next
    } while (paginationToken !== undefined && paginationToken !== '')
    return ids
  }
}

function fetchRecords(index: Index, ids: string[]) {
  return index.fetch({ ids, namespace: catalogNamespace })
}

function entryId(name: string, field: string, type: FieldType | null): string {
  const id = `${name}/${fieldKey(field)}/${type ?? untyped}`
  if (id.length <= maximumIdLength) return id
  throw new InvalidInput({
    code: 'bad_field_name',
    message: `The name of the field "${field.slice(0, 80)}…" is too long for Pinecone. Give it a shorter one.`,
  })
}

/** A field that got two types at once keeps the one that comes first, for everyone who reads it. */
function fieldsOf(name: string, ids: readonly string[]): FieldEntry[] {
  const types = new Map<string, FieldType | null>()
  for (const id of [...ids].sort()) {
    const [collection, key = '', type] = id.split('/')
    const field = collection === name && type !== undefined ? fieldOfKey(key) : undefined
    if (field !== undefined) types.set(field, types.get(field) ?? (isFieldType(type) ? type : null))
  }
  return [...types]
}
