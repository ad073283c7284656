import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const path = [process.env.CHROMIUM_PATH, '/usr/bin/chromium', '/usr/bin/google-chrome'].find(
  (candidate) => candidate !== undefined && existsSync(candidate),
)

/** Whether the tests in a browser are left out, and says so. With `CI=true` they never are. */
export function withoutBrowser(): boolean {
  if (path !== undefined || process.env.CI === 'true') return false
  process.stderr.write('the tests in a browser are skipped: there is no Chromium; set CHROMIUM_PATH\n')
  return true
}

export function launchBrowser(): Promise<Browser> {
  if (path === undefined) throw new Error('there is no Chromium: install it, or set CHROMIUM_PATH')
  // As root Chromium has no sandbox of its own; the rest keeps it from calling its vendor.
  const args = ['--no-sandbox', '--disable-quic', '--disable-background-networking', '--disable-component-update']
  return chromium.launch({ executablePath: path, args })
}
