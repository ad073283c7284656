import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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

describe.skipIf(withoutBrowser())('the dashboard', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let millrace: RunningCli
  let browser: Browser
  beforeAll(async () => {
    folder = await tempFolder()
    await mkdir(join(folder.path, 'pipelines'))
    await writeFile(join(folder.path, 'pipelines/notes.yaml'), pipeline)
    millrace = await startCli(['run'], { cwd: folder.path })
    browser = await launchBrowser()
  })
  afterAll(async () => {
    await browser?.close()
    await millrace?.[Symbol.asyncDispose]()
    await folder?.[Symbol.asyncDispose]()
  })

  /** Opens the page; what it complains of is collected. */
  async function open(options: Parameters<Browser['newPage']>[0] = {}): Promise<{ page: Page; complaints: string[] }> {
    const page = await browser.newPage(options)
    const complaints: string[] = []
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(error.message))
    await page.goto(millrace.address)
    return { page, complaints }
  }

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
