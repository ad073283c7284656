import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { launchBrowser, withoutBrowser } from './chromium.ts'
import { type LiveServer, startLiveServer } from './live-server.ts'
import { type Pages, servePages } from './pages.ts'
import { startTcpProxy } from './tcp-proxy.ts'

describe.skipIf(withoutBrowser())('the SDK and its hooks in Chromium', () => {
  let server: LiveServer
  let pages: Pages
  let browser: Browser
  beforeAll(async () => {
    ;[server, pages, browser] = await Promise.all([startLiveServer(), servePages(), launchBrowser()])
  })
  afterAll(async () => {
    await browser?.close()
    await pages?.[Symbol.asyncDispose]()
    await server?.[Symbol.asyncDispose]()
  })
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close()
  })

  let count = 0
  /** Texts that no other test has. */
  const texts = (many: number) => Array.from({ length: many }, () => `note ${count++}`)

  async function open(show: string, address = server.address): Promise<Page> {
    const page = await newPage()
    await page.goto(pages.url('index.html', { address, show }))
    return page
  }
  async function newPage(): Promise<Page> {
    const context = await browser.newContext()
    // Sooner than the test, so that it is told what is waited for.
    context.setDefaultTimeout(15_000)
    return context.newPage()
  }
  const events = (page: Page, id = 'events') => page.locator(`#${id} li`).allTextContents()
  // Attached and not visible, since a list without events is not.
  const is = (page: Page, id: string, state: string) =>
    page.locator(`#${id}[data-state=${state}]`).waitFor({ state: 'attached' })
  const live = (page: Page, id = 'events') => is(page, id, 'live')
  const shows = (page: Page, wanted: readonly string[]) => expect.poll(() => events(page)).toEqual(wanted)

  it('shows events as they come', async () => {
    const page = await open('events')
    await live(page)
    const notes = texts(3)
    await server.publish(notes)
    await shows(page, notes)
    expect(await page.locator('#connection').textContent()).toBe('open')
  })

  it('draws a burst of events in a few renders', async () => {
    const page = await open('events')
    await live(page)
    const before = await renders(page)
    const notes = texts(2_000)
    for (let from = 0; from < notes.length; from += 100) await server.publish(notes.slice(from, from + 100))
    await shows(page, notes)
    // Each is counted twice, for StrictMode renders twice.
    expect((await renders(page)) - before).toBeLessThan(notes.length / 4)
  })

  it('two components that ask for the same share one subscription', async () => {
    const page = await newPage()
    let sockets = 0
    let subscribed = 0
    page.on('websocket', (socket) => {
      sockets++
      socket.on('framesent', ({ payload }) => {
        if (String(payload).includes('"type":"subscribe"')) subscribed++
      })
    })
    await page.goto(pages.url('index.html', { address: server.address, show: 'events,twice' }))
    await live(page)
    await live(page, 'again')
    const notes = texts(2)
    await server.publish(notes)
    await shows(page, notes)
    expect(await events(page, 'again')).toEqual(notes)
    expect({ sockets, subscribed }).toEqual({ sockets: 1, subscribed: 1 })
  })

  it('unsubscribes when the last component has gone, and comes back', async () => {
    const page = await open('events')
    await live(page)
    await page.getByRole('button', { name: 'Hide' }).click()
    await page.locator('#connection', { hasText: 'idle' }).waitFor()
    await page.getByRole('button', { name: 'Show' }).click()
    await live(page)
    const notes = texts(1)
    await server.publish(notes)
    await shows(page, notes)
  })

  it('closes its client when React hides it, and has another one when it is shown again', async () => {
    const page = await open('events')
    await live(page)
    const socket = page.waitForEvent('websocket')
    await page.getByRole('button', { name: 'Curtain' }).click()
    await page.waitForTimeout(100)
    await page.getByRole('button', { name: 'Curtain' }).click()
    await socket
    await live(page)
    const notes = texts(2)
    await server.publish(notes)
    await shows(page, notes)
  })

  it('has the latest of each key', async () => {
    const page = await open('latest')
    await live(page, 'latest')
    const mine = () => page.locator('#latest li', { hasText: /^(red|blue): / }).allTextContents()
    await server.publish(['one', 'two'], 'red')
    await server.publish(['three'], 'blue')
    await expect.poll(mine).toEqual(['red: two', 'blue: three'])
    await server.publish(['four'], 'red')
    await expect.poll(mine).toEqual(['blue: three', 'red: four'])
  })

  it('has what stands: newer versions replace, retractions delete, and no more is kept than was asked for', async () => {
    const page = await open('standing')
    await is(page, 'standing', 'live')
    const rows = () => events(page, 'standing')
    const order = (id: string, total: number) => ({ id, region: 'zz', total })
    await server.order(order('s1', 1), order('s2', 2), order('s3', 3))
    await expect.poll(rows).toEqual(['s1: 1', 's2: 2', 's3: 3'])
    await server.order(order('s1', 10))
    await expect.poll(rows).toEqual(['s2: 2', 's3: 3', 's1: 10'])
    await server.cancel('s3')
    await expect.poll(rows).toEqual(['s2: 2', 's1: 10'])
    await server.order(order('s4', 4), order('s5', 5))
    await expect.poll(rows).toEqual(['s1: 10', 's4: 4', 's5: 5'])
  })

  it('publishes', async () => {
    const page = await open('events,publish')
    await live(page)
    const [note = ''] = texts(1)
    await page.getByLabel('Text').fill(note)
    await page.getByLabel('Text').press('Enter')
    await page.locator('#published', { hasText: /offset \d+/ }).waitFor()
    await shows(page, [note])
  })

  it('keeps the rows of a named query up to date', async () => {
    const page = await open('query')
    const rows = () => events(page, 'query')
    await page.locator('#query', { hasText: 'region sold' }).waitFor()
    await server.order({ id: 'q1', region: 'eu', total: 10 }, { id: 'q2', region: 'us', total: 100 })
    const mine = async () => (await rows()).filter((text) => !text.startsWith('zz'))
    await expect.poll(mine).toEqual(['eu: 10', 'us: 100'])
    await server.order({ id: 'q3', region: 'eu', total: 5 })
    await expect.poll(mine).toEqual(['eu: 15', 'us: 100'])
    await page.getByRole('button', { name: 'Large ones only' }).click()
    await expect.poll(rows).toEqual(['us: 100'])
  })

  it('goes on from a snapshot: no order is missed, none there twice', async () => {
    const page = await open('follow')
    await is(page, 'follow', 'live')
    const mine = async () => (await events(page, 'follow')).filter((text) => text.startsWith('f'))
    await server.order({ id: 'f1', region: 'zz', total: 1 }, { id: 'f2', region: 'zz', total: 2 })
    await expect.poll(mine).toEqual(['f1: 1', 'f2: 2'])
    const reloaded = page.reload()
    await server.order({ id: 'f3', region: 'zz', total: 3 })
    await reloaded
    await server.order({ id: 'f4', region: 'zz', total: 4 })
    await expect.poll(mine).toEqual(['f1: 1', 'f2: 2', 'f3: 3', 'f4: 4'])
  })

  it('shows who is there, and what they show of themselves', async () => {
    const [ann, bob] = await Promise.all([newPage(), newPage()])
    const visit = (page: Page, name: string) =>
      page.goto(pages.url('index.html', { address: server.address, show: 'presence', name }))
    const seenBy = (page: Page) => async () => (await events(page, 'presence')).sort()
    await visit(ann, 'ann')
    await expect.poll(seenBy(ann)).toEqual(['ann is calm'])
    await visit(bob, 'bob')
    await expect.poll(seenBy(ann)).toEqual(['ann is calm', 'bob is calm'])
    await bob.getByRole('button', { name: 'Cheer up' }).click()
    await expect.poll(seenBy(ann)).toEqual(['ann is calm', 'bob is merry'])
    await expect.poll(seenBy(bob)).toEqual(['ann is calm', 'bob is merry'])
    await bob.close()
    await expect.poll(seenBy(ann)).toEqual(['ann is calm'])
  })

  it('takes deflated frames', async () => {
    const page = await newPage()
    const devtools = await page.context().newCDPSession(page)
    const extensions: (string | undefined)[] = []
    devtools.on('Network.webSocketHandshakeResponseReceived', ({ response }) => {
      extensions.push(response.headers['sec-websocket-extensions'] ?? response.headers['Sec-WebSocket-Extensions'])
    })
    await devtools.send('Network.enable')
    await page.goto(pages.url('index.html', { address: server.address, show: 'events' }))
    await live(page)
    expect(extensions).toEqual([expect.stringContaining('permessage-deflate')])
    const notes = texts(200).map((text) => text.padEnd(500, ' and so on'))
    await server.publish(notes)
    await shows(page, notes)
  })

  it('goes on after a reload: what came meanwhile, each once, in order', async () => {
    const page = await open('events')
    await live(page)
    const notes = texts(20)
    await server.publish(notes.slice(0, 10))
    await shows(page, notes.slice(0, 10))
    const url = page.url()
    await page.goto('about:blank')
    await server.publish(notes.slice(10, 15))
    await page.goto(url)
    await shows(page, notes.slice(10, 15))
    await server.publish(notes.slice(15))
    await shows(page, notes.slice(10))
    expect(await page.locator('#events').getAttribute('data-gap')).toBeNull()
  })

  it('reloads again and again while events come: each comes once, in order', async () => {
    const page = await newPage()
    const recorded = async () => JSON.parse(String(await page.evaluate('sessionStorage.getItem("recorded")')))
    await page.goto(pages.url('record.html', { address: server.address }))
    await page.getByText('subscribed').waitFor()
    const notes = texts(200)
    const published = (async () => {
      for (let from = 0; from < notes.length; from += 2) await server.publish(notes.slice(from, from + 2))
    })()
    for (let reload = 0; reload < 5; reload++) {
      await page.reload()
      await page.getByText('subscribed').waitFor()
    }
    await published
    await expect.poll(recorded).toEqual(notes)
  })

  it('goes on when the network was away: each event once, in order', async () => {
    await using proxy = await startTcpProxy(server.address)
    const page = await open('events', proxy.address)
    await live(page)
    const notes = texts(40)
    for (let from = 0; from < notes.length; from += 20) {
      await server.publish(notes.slice(from, from + 10))
      await shows(page, notes.slice(0, from + 10))
      proxy.cut()
      await is(page, 'events', 'reconnecting')
      await server.publish(notes.slice(from + 10, from + 20))
      proxy.heal()
      await shows(page, notes.slice(0, from + 20))
    }
    expect(await page.locator('#events').getAttribute('data-gap')).toBeNull()
  })

  it('knows that it is offline, and goes on when it is not any more', async () => {
    const page = await open('events')
    await live(page)
    const notes = texts(4)
    await server.publish(notes.slice(0, 2))
    await shows(page, notes.slice(0, 2))
    await page.context().setOffline(true)
    await page.locator('#connection', { hasText: 'offline' }).waitFor()
    await server.publish(notes.slice(2))
    await page.context().setOffline(false)
    await page.locator('#connection', { hasText: 'open' }).waitFor()
    await shows(page, notes)
  })

  it.each(['SIGTERM', 'SIGKILL'] as const)('goes on after the server was restarted by %s', async (signal) => {
    const page = await open('events')
    await live(page)
    const notes = texts(20)
    await server.publish(notes.slice(0, 10))
    await shows(page, notes.slice(0, 10))
    await server.stop(signal)
    await is(page, 'events', 'reconnecting')
    await server.start()
    await server.publish(notes.slice(10))
    await shows(page, notes)
    expect(await page.locator('#events').getAttribute('data-gap')).toBeNull()
  })

  it('runs in a worker', async () => {
    const page = await newPage()
    await page.goto(pages.url('worker.html', { address: server.address }))
    await shows(page, ['subscribed'])
    const notes = texts(2)
    await server.publish(notes)
    await shows(page, ['subscribed', ...notes])
  })

  async function renders(page: Page): Promise<number> {
    return Number(await page.evaluate('renders.events'))
  }
})
