import { expect, it } from 'vitest'
import { type MemoryOptions, type Near, VectorMemories, VectorMemory } from '../../src/processors/vector-memory.ts'
import { textOfVector, vectorOfText } from '../../src/processors/vector-text.ts'
import { dot } from '../../src/similarity/vector-matrix.ts'
import { atAngle } from './fake-embedder.ts'
import { CommittedState } from './support.ts'

const options: MemoryOptions = { model: 'm', dimension: 2, last: 5000, window: undefined, counted: true }

/** The same pseudo-random numbers in every run: 0 to 1. */
function numbersFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Remembers these, in one go. */
async function remembered(state: CommittedState, vectors: readonly Float32Array[], more: Partial<MemoryOptions> = {}) {
  const memory = await VectorMemory.load(state, { ...options, ...more })
  for (const [offset, vector] of vectors.entries()) memory.remember({ vector, timestamp: offset, offset })
  memory.save(state)
  return memory
}

async function nearestTo(memory: VectorMemory, ...vectors: Float32Array[]): Promise<(Near | undefined)[]> {
  const found: (Near | undefined)[] = []
  await memory.inTurn(vectors, (_, lookUp) => found.push(lookUp(0, -2)))
  return found
}

it('writes vectors as text, bit by bit', () => {
  const vector = Float32Array.of(0.1, -1e-40, -0, 3.4e38)
  expect(vectorOfText(textOfVector(vector), 4)).toEqual(vector)
  expect(textOfVector(Float32Array.of(1))).toBe(Buffer.from([0, 0, 0x80, 0x3f]).toString('base64'))
  expect(vectorOfText(textOfVector(vector), 3)).toBeUndefined()
})

it('is read in pages, with its gaps, and knows the same afterwards', async () => {
  const state = new CommittedState()
  const vectors = Array.from({ length: 1200 }, (_, n) => atAngle(n / 10))
  const memory = await remembered(state, vectors)
  for (const row of [0, 7, 700, 1199]) memory.forget(row, 2000)
  memory.save(state)
  const asked = [0, 0.69, 69.99, 50.04, 119.9].map(atAngle)
  const again = await VectorMemory.load(state, options)
  expect(again.size).toBe(1196)
  const found = await nearestTo(again, ...asked)
  expect(found).toEqual(await nearestTo(memory, ...asked))
  expect(found.map((near) => near?.row)).toEqual([1, 6, 699, 500, 1198])
})

it('compares a large batch with what the batch itself has added', async () => {
  const memory = await VectorMemory.load(new CommittedState(), options)
  const vectors = Array.from({ length: 700 }, (_, n) => atAngle(n % 350))
  const scores: number[] = []
  await memory.inTurn(vectors, (offset, lookUp) => {
    const score = lookUp(0, 0.99999)?.score
    if (score !== undefined) scores.push(score)
    const vector = vectors[offset]
    if (score === undefined && vector) memory.remember({ vector, timestamp: 0, offset })
  })
  expect(memory.size).toBe(350)
  expect(scores.every((score) => score > 0.999999)).toBe(true)
})

it('decides by the inner product alone, however the matrix sums up', async () => {
  const dimension = 384
  const random = numbersFrom(7)
  const unit = () => {
    const vector = Float32Array.from({ length: dimension }, () => random() - 0.5)
    const length = Math.sqrt(dot(vector, vector))
    return vector.map((value) => value / length)
  }
  // Many that differ in the last bits only.
  const known = Array.from({ length: 30 }, unit).flatMap((vector) =>
    Array.from({ length: 20 }, () => vector.map((value) => value * (1 + (random() - 0.5) * 1e-6))),
  )
  const asked = known.slice(0, 200).map((vector) => vector.map((value) => value + (random() - 0.5) * 0.01))
  const memory = await remembered(new CommittedState(), known, { dimension })
  const naive = asked.map((vector) => {
    const scores = known.map((each) => dot(each, vector))
    const score = Math.max(...scores)
    return { row: scores.indexOf(score), number: scores.indexOf(score), score }
  })
  expect(await nearestTo(memory, ...asked)).toEqual(naive)
})

it('remembers no more than it may, and the state holds no more', async () => {
  const state = new CommittedState()
  const vectors = Array.from({ length: 500 }, (_, n) => atAngle(n))
  expect((await remembered(state, vectors, { last: 20 })).size).toBe(20)
  expect([...state.entries.keys()].filter((key) => key.startsWith('v'))).toHaveLength(20)
  const fewer = await remembered(state, vectors.slice(0, 1), { last: 5 })
  expect(fewer.size).toBe(5)
  expect(state.entries.size).toBe(6)
})

it('stays in proportion to what a window holds, odd timestamps or not', async () => {
  const state = new CommittedState()
  const memory = await VectorMemory.load(state, { ...options, window: 1000 })
  for (let n = 0; n < 4000; n++) {
    const timestamp = n % 500 === 7 ? 4e12 : n * 10
    memory.remember({ vector: atAngle(n), timestamp, offset: n })
  }
  memory.save(state)
  expect(memory.size).toBeLessThan(120)
  expect(state.entries.size).toBeLessThan(250)
})

it('forgets what another model has made, and uses its place again', async () => {
  const state = new CommittedState()
  await remembered(state, [0, 10, 20].map(atAngle))
  const other = { ...options, model: 'other', dimension: 3 }
  const memory = await VectorMemory.load(state, other)
  expect(memory.size).toBe(0)
  memory.remember({ vector: Float32Array.of(0, 0, 1), timestamp: 0, offset: 9 })
  memory.save(state)
  expect((await VectorMemory.load(state, other)).size).toBe(1)
  expect((await VectorMemory.load(state, options)).size).toBe(0)
})

it('takes no more account of rows that cannot be read', async () => {
  const state = new CommittedState()
  await remembered(state, [0, 90, 180].map(atAngle))
  state.set('v0', 'not a row')
  state.set('v1', [1, 0, 'AAAA', null])
  const memory = await VectorMemory.load(state, options)
  expect(await nearestTo(memory, atAngle(0))).toMatchObject([{ row: 2, number: 2 }])
})

it('hands nothing over from work that failed, and knows nothing of it', async () => {
  const state = new CommittedState()
  const memories = new VectorMemories(options)
  const work = (fails: boolean) =>
    memories.use(state, async (memory) => {
      memory.remember({ vector: atAngle(0), timestamp: 0, offset: 0 })
      if (fails) throw new Error('it failed')
      return memory.size
    })
  await expect(work(true)).rejects.toThrow('it failed')
  expect(state.entries.size).toBe(0)
  expect(await work(false)).toBe(1)
  expect(await work(false)).toBe(2)
})

it('is one for each lane', async () => {
  const memories = new VectorMemories(options)
  const add = (state: CommittedState) =>
    memories.use(state, async (memory) => {
      memory.remember({ vector: atAngle(0), timestamp: 0, offset: 0 })
      return memory.size
    })
  const [one, other] = [new CommittedState(), new CommittedState()]
  expect([await add(one), await add(other), await add(one)]).toEqual([1, 1, 2])
})
