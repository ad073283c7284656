import type { Data, FixedSizeList } from 'apache-arrow'
import type { FieldValue } from '../../src/core/filter.ts'
import type { FieldType } from '../../src/core/vector-rules.ts'
import type { Sdk } from './sdk.ts'

type Arrow = Sdk['arrow']

/**
 * One column of an Arrow table, null where a value is not of the column's type. Booleans are bytes: the writer that
 * LanceDB uses leaves out the buffer of a bit column in which all values are null, and then LanceDB refuses it.
 */
export function columnData(arrow: Arrow, type: FieldType, values: readonly FieldValue[]): Data {
  const { length } = values
  const { nullBitmap, nullCount } = nulls(values, type)
  if (type === 'string') return textData(arrow, values, nullBitmap, nullCount)
  if (type === 'boolean') {
    const data = Int8Array.from(values, (value) => (value === true ? 1 : 0))
    return arrow.makeData({ type: new arrow.Int8(), length, nullCount, nullBitmap, data })
  }
  // Engines that order floats by their bits tell -0 from 0; adding 0 makes them one.
  const data = Float64Array.from(values, (value) => (typeof value === 'number' ? value + 0 : 0))
  return arrow.makeData({ type: new arrow.Float64(), length, nullCount, nullBitmap, data })
}

function textData(arrow: Arrow, values: readonly FieldValue[], nullBitmap: Uint8Array, nullCount: number): Data {
  const texts = values.map((value) => Buffer.from(typeof value === 'string' ? value : ''))
  const valueOffsets = new Int32Array(values.length + 1)
  for (const [index, { length }] of texts.entries()) valueOffsets[index + 1] = (valueOffsets[index] ?? 0) + length
  const data = Buffer.concat(texts)
  return arrow.makeData({ type: new arrow.Utf8(), length: values.length, nullCount, nullBitmap, valueOffsets, data })
}

/** Vectors of equal length, copied once into one buffer. */
export function vectorData(arrow: Arrow, vectors: readonly Float32Array[]): Data {
  const dimension = vectors[0]?.length ?? 0
  const data = new Float32Array(vectors.length * dimension)
  for (const [index, vector] of vectors.entries()) data.set(vector, index * dimension)
  const child = arrow.makeData({ type: new arrow.Float32(), length: data.length, nullCount: 0, data })
  return arrow.makeData({ type: vectorType(arrow, dimension), length: vectors.length, nullCount: 0, child })
}

export function vectorType(arrow: Arrow, dimension: number): FixedSizeList {
  return new arrow.FixedSizeList(dimension, new arrow.Field('item', new arrow.Float32(), true))
}

function nulls(values: readonly FieldValue[], type: FieldType): { nullBitmap: Uint8Array; nullCount: number } {
  const nullBitmap = new Uint8Array(Math.ceil(values.length / 8))
  let nullCount = 0
  for (const [index, value] of values.entries()) {
    if (typeof value === type) nullBitmap[index >> 3] = (nullBitmap[index >> 3] ?? 0) | (1 << (index & 7))
    else nullCount++
  }
  return { nullBitmap, nullCount }
}
