import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RunningCli, startCli, tempFolder } from '../support/cli.ts'
import { launchBrowser, withoutBrowser } from './chromium.ts'

const pipeline = `
name: notes
source: { topic: notes }
processors:
  - filter: size(value.text) > 0
  - embed: { text: value.text, as: meaning }
sinks:
  - vectors: { collection: notes, vector: meaning, fields: [text] }
  - live: notes
`

const orders = `
name: orders
source: { topic: orders }
sinks:
  - clickhouse: { table: orders, columns: { region: String, total: UInt32 } }
block: { age: 50ms }
`
const byRegion = `
description: What was sold, by region
sql: |
  SELECT region, sum(total) AS sold FROM orders
  WHERE total >= {least:UInt32} GROUP BY region ORDER BY region
params:
  least: { type: UInt32, default: 0 }
`

/** Opens a page; what it complains of is collected. */
async function openPage(
  browser: Browser,
  address: string,
  options: Parameters<Browser['newPage']>[0] = {},
): Promise<{ page: Page; complaints: string[] }> {
  const page = await browser.newPage(options)
  page.setDefaultTimeout(15_000)
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  await page.addInitScript(
    'addEventListener("securitypolicyviolation", (event) => console.error(event.violatedDirective, event.blockedURI))',
  )
  await page.goto(address)
  return { page, complaints }
}

describe.skipIf(withoutBrowser())('the dashboard', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let millrace: RunningCli
  let browser: Browser
  beforeAll(async () => {
    folder = await tempFolder()
    await mkdir(join(folder.path, 'pipelines'))
    await mkdir(join(folder.path, 'queries'))
    await writeFile(join(folder.path, 'pipelines/notes.yaml'), pipeline)
    await writeFile(join(folder.path, 'pipelines/orders.yaml'), orders)
    await writeFile(join(folder.path, 'queries/by-region.yaml'), byRegion)
    millrace = await startCli(['run'], { cwd: folder.path })
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    await millrace?.[Symbol.asyncDispose]()
    await folder?.[Symbol.asyncDispose]()
  })

  const open = (options?: Parameters<Browser['newPage']>[0]) => openPage(browser, millrace.address, options)

  it('shows a pipeline, and an event from publishing to the live channel and the search', async () => {
    const { page, complaints } = await open()
    const card = page.getByLabel('Pipeline notes')
    await card.getByText('running').waitFor()

    await page.getByLabel('Topic').selectOption('notes')
    await page.getByLabel('Event as JSON').fill('{"text": "The river runs high in spring"}')
    await page.getByRole('button', { name: 'Publish' }).click()
    await page.getByText(/Came through in \d/).waitFor()
    await page.locator('.stream').getByText('The river runs high in spring', { exact: true }).waitFor()
    await card.getByText('1 read').waitFor()

    await page.getByPlaceholder('Say it in your own words').fill('flood water after the winter')
    await page.locator('#search, .panel.search').getByText('The river runs high in spring').first().waitFor()
    const match = page.locator('.matches .event').first()
    await page.getByPlaceholder('Say it in your own words').fill('the RIVER')
    await match.locator('mark').getByText('river', { exact: true }).waitFor()
    await match.click()
    await match.getByText(/^words 1\.00$/).waitFor()
    expect(complaints).toEqual([])
    await page.close()
  })

  it('says in place what is wrong with an event', async () => {
    const { page } = await open()
    await page.getByLabel('Topic').selectOption('notes')
    await page.getByLabel('Event as JSON').fill('{"text": ')
    await page.getByRole('button', { name: 'Publish' }).click()
    await page.getByText('This is not JSON').waitFor()
    await page.getByLabel('Event as JSON').fill('{"text": 7}')
    await page.getByRole('button', { name: 'Publish' }).click()
    await page.getByText('It went to the dead letters of notes').waitFor()
    await page.close()
  })

  it('pauses a pipeline and resumes it', async () => {
    const { page } = await open()
    const card = page.getByLabel('Pipeline notes')
    await card.getByRole('button', { name: 'Pause' }).click()
    await card.getByText('paused').waitFor()
    await card.getByRole('button', { name: 'Resume' }).click()
    await card.getByText('running').waitFor()
    await page.close()
  })

  it('shows how a channel is used', async () => {
    const { page } = await open()
    await publish(millrace.address, 'notes', { text: 'A note for the channel' })
    const facts = page.locator('.channel-facts')
    await facts.getByText('Events/s').waitFor()
    await expect.poll(() => facts.textContent(), { timeout: 15_000 }).toMatch(/Kept[1-9].*Subscribed[1-9].*Present0/)
    await page.close()
  })

  it('shows the rows of a named query as they change', async () => {
    const { page, complaints } = await open()
    const panel = page.locator('.panel.queries')
    const rows = () => panel.locator('tbody tr').allTextContents()
    await panel.getByText('What was sold, by region').waitFor()
    await panel.getByText('live', { exact: true }).waitFor()
    await publish(millrace.address, 'orders', { region: 'eu', total: 10 }, { region: 'us', total: 100 })
    await expect.poll(rows).toEqual(['eu10', 'us100'])
    await publish(millrace.address, 'orders', { region: 'eu', total: 5 })
    await expect.poll(rows).toEqual(['eu15', 'us100'])
    await panel.getByLabel('least').fill('50')
    await expect.poll(rows).toEqual(['us100'])
    await panel.getByLabel('least').fill('many')
    await panel.getByRole('alert').waitFor()
    expect(complaints).toEqual([])
    await page.close()
  })

  it('needs nothing that its content policy forbids, in any part of it', async () => {
    const { page, complaints } = await open()
    const [response] = await Promise.all([page.waitForResponse(`${millrace.address}/`), page.reload()])
    const policy = response.headers()['content-security-policy'] ?? ''
    expect(policy).toContain("script-src 'self'")
    expect(policy).toContain("style-src 'self'")
    expect(policy).not.toContain('unsafe')
    const card = page.getByLabel('Pipeline notes')
    for (const detail of ['YAML', '1 lane', /dead letter/]) {
      await card.getByRole('button', { name: detail }).click()
      await card.locator('.detail').first().waitFor()
    }
    await page.getByText('ask ClickHouse').click()
    await page.getByRole('button', { name: 'Run' }).click()
    await page.getByLabel('Result').first().waitFor()
    await page.getByRole('button', { name: /^Switch to/ }).click()
    await page.getByPlaceholder('a refund that did not arrive').fill('the river')
    await page.locator('.stream .event').first().waitFor()
    await page.locator('.stream .event').first().click()
    expect(complaints).toEqual([])
    await page.close()
  })

  it.each(['light', 'dark'] as const)('fits a phone without scrolling sideways, %s', async (colorScheme) => {
    const { page, complaints } = await open({ colorScheme, viewport: { width: 360, height: 740 } })
    await page.getByLabel('Pipeline notes').waitFor()
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
    const nameless = 'button:not([aria-label]):empty, input:not([aria-label]):not(label input):not([id])'
    expect(await page.locator(nameless).count()).toBe(0)
    expect(complaints).toEqual([])
    await page.close()
  })
})

async function publish(address: string, topic: string, ...events: unknown[]): Promise<void> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(events) }
  const response = await fetch(`${address}/v1/topics/${topic}/events`, init)
  if (!response.ok) throw new Error(await response.text())
}

describe.skipIf(withoutBrowser())('the dashboard of a server that takes JSON Web Tokens', () => {
  const secret = 'a secret of forty bytes that only tests know'
  const token = (lifetime: string) =>
    new SignJWT({ role: 'operator' })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject('ann')
      .setExpirationTime(lifetime)
      .sign(new TextEncoder().encode(secret))

  it('asks for another token when the one it has expires', async () => {
    await using folder = await tempFolder()
    await mkdir(join(folder.path, 'pipelines'))
    const live = 'name: notes\nsource: { topic: notes }\nsinks:\n  - live: notes\n'
    await writeFile(join(folder.path, 'pipelines/notes.yaml'), live)
    await writeFile(
      join(folder.path, 'millrace.yaml'),
      `server:
  jwt: { secret: "${secret}", clockTolerance: 0s }
  access:
    - when: { role: operator }
      publish: "*"
      subscribe: "*"
      manage: "*"
`,
    )
    await using millrace = await startCli(['run'], { cwd: folder.path })
    const browser = await launchBrowser()
    try {
      const { page } = await openPage(browser, millrace.address)
      const enter = async (given: string) => {
        await page.getByLabel('Token').fill(given)
        await page.getByRole('button', { name: 'Open the dashboard' }).click()
      }
      await enter(await token('10s'))
      await page.getByLabel('Pipeline notes').getByText('running').waitFor()
      await page.getByText('or it has expired').waitFor({ timeout: 25_000 })
      await enter(await token('1h'))
      await page.getByLabel('Pipeline notes').getByText('running').waitFor()
      await page.locator('.panel.live').getByText('live', { exact: true }).waitFor()
    } finally {
      await browser.close()
    }
  }, 60_000)
})
