import { afterEach, expect, test, vi } from 'vitest'
import { type Client, connect, type PositionStorage, type SubscribeOptions } from '../../src/client/index.ts'
import { type Harness, startServer } from '../server/harness.ts'

const open: (() => unknown)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
  vi.unstubAllGlobals()
})
async function server(): Promise<Harness> {
  const harness = await startServer()
  open.push(() => harness[Symbol.asyncDispose]())
  return harness
}
/** A page; the test takes it away without closing anything. */
function page(harness: Harness): Client {
  const made = connect(harness.address)
  open.push(() => made.close())
  return made
}
let pushed = 0
async function push(harness: Harness, ...values: number[]): Promise<void> {
  const events = values.map((value) => ({ id: `e${pushed++}`, key: null, value, timestamp: 1 }))
  await harness.liveLog.append(
    'numbers',
    'lane',
    events,
    values.map(() => pushed++),
  )
}

class TabStorage implements PositionStorage {
  readonly entries = new Map<string, string>()
  getItem(key: string): string | null {
    return this.entries.get(key) ?? null
  }
  setItem(key: string, value: string): void {
    this.entries.set(key, value)
  }
}

/** What the browser tells pages and gives them. */
class FakeTab extends EventTarget {
  readonly sessionStorage = new TabStorage()
  constructor() {
    super()
    vi.stubGlobal('sessionStorage', this.sessionStorage)
    vi.stubGlobal('addEventListener', this.addEventListener.bind(this))
    vi.stubGlobal('removeEventListener', this.removeEventListener.bind(this))
  }
  leave(): void {
    this.dispatchEvent(new Event('pagehide'))
  }
}

async function take(client: Client, options: SubscribeOptions, count: number): Promise<unknown[]> {
  const seen: unknown[] = []
  const subscription = client.subscribe('numbers', options)
  subscription.on('event', ({ value }) => seen.push(value))
  await expect.poll(() => seen.length).toBe(count)
  return seen
}

test('the next page goes on after the last event that was handed out', async () => {
  const harness = await server()
  const tab = new FakeTab()
  const before = page(harness)
  const subscription = before.subscribe('numbers', { resume: 'list' })
  const seen: unknown[] = []
  subscription.on('event', ({ value }) => seen.push(value))
  await subscription.ready()
  await push(harness, 1, 2)
  await expect.poll(() => seen).toEqual([1, 2])
  tab.leave()
  await push(harness, 3, 4)
  expect(await take(page(harness), { resume: 'list', since: { last: 100 } }, 2)).toEqual([3, 4])
})

test('of a page that crashed it is what was stored before', async () => {
  const harness = await server()
  const storage = new TabStorage()
  const subscription = page(harness).subscribe('numbers', { resume: 'list', storage })
  const seen: unknown[] = []
  subscription.on('event', ({ value }) => seen.push(value))
  await subscription.ready()
  await push(harness, 1)
  await expect.poll(() => JSON.parse(storage.getItem('millrace:list') ?? '{}').offset, { timeout: 2_000 }).toBe(0)
  await push(harness, 2)
  await expect.poll(() => seen).toEqual([1, 2])
  // Nothing was stored in this moment.
  const stored = new TabStorage()
  stored.setItem('millrace:list', storage.getItem('millrace:list') ?? '')
  expect(await take(page(harness), { resume: 'list', storage: stored }, 1)).toEqual([2])
})

test('an event that an iteration has in hand comes again; one after which the next was asked for does not', async () => {
  const harness = await server()
  const tab = new FakeTab()
  const subscription = page(harness).subscribe('numbers', { resume: 'list' })
  await subscription.ready()
  await push(harness, 1, 2, 3)
  const iterator = subscription[Symbol.asyncIterator]()
  expect(await iterator.next()).toMatchObject({ value: { value: 1 } })
  expect(await iterator.next()).toMatchObject({ value: { value: 2 } })
  tab.leave()
  expect(await take(page(harness), { resume: 'list' }, 2)).toEqual([2, 3])
})

test('a position of something else is not used', async () => {
  const harness = await server()
  const storage = new TabStorage()
  await push(harness, 1, 2, 3)
  const first = page(harness).subscribe('numbers', { resume: 'list', storage, since: { last: 3 }, filter: 'value > 1' })
  await first.ready()
  first.on('event', () => undefined)
  await expect.poll(() => first.position?.offset).toBe(2)
  first.close()
  const again = { resume: 'list', storage, since: { last: 3 } }
  expect(await take(page(harness), { ...again, filter: 'value > 0' }, 3)).toEqual([1, 2, 3])
  storage.setItem('millrace:list', '{"of":')
  expect(await take(page(harness), again, 3)).toEqual([1, 2, 3])
})

test('what cannot be had any more is a gap', async () => {
  const harness = await server()
  const storage = new TabStorage()
  const options = { resume: 'list', storage }
  const first = page(harness).subscribe('numbers', options)
  await first.ready()
  first.close()
  const stored = JSON.parse(storage.getItem('millrace:list') ?? '{}')
  storage.setItem('millrace:list', JSON.stringify({ ...stored, epoch: 'another', offset: 7 }))
  await push(harness, 1)
  const subscription = page(harness).subscribe('numbers', options)
  const gaps: unknown[] = []
  subscription.on('gap', (gap) => gaps.push(gap))
  await subscription.ready()
  expect(gaps).toEqual([{ reason: 'unrecovered', from: 0, to: 0 }])
})

test('a storage that is full or forbidden changes nothing else', async () => {
  const harness = await server()
  const storage: PositionStorage = {
    getItem: () => {
      throw new Error('forbidden')
    },
    setItem: () => {
      throw new Error('full')
    },
  }
  const subscription = page(harness).subscribe('numbers', { resume: 'list', storage })
  const seen: unknown[] = []
  subscription.on('event', ({ value }) => seen.push(value))
  await subscription.ready()
  await push(harness, 1)
  await expect.poll(() => seen).toEqual([1])
  subscription.close()
})
