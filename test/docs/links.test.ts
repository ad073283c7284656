import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../../src/cli/package.ts'
import { anchors, documents, textOf } from '../support/documents.ts'

test.each(await documents())('the links of %s lead somewhere', (file) => {
  for (const [, target = ''] of textOf(file).matchAll(/(?<!!)\[[^\]]*\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue
    const [path = '', anchor] = target.split('#')
    const linked = path === '' ? file : normalize(join(dirname(file), path))
    expect(existsSync(join(packageRoot(), linked)), target).toBe(true)
    if (anchor !== undefined) expect(anchors(textOf(linked)), target).toContain(anchor)
  }
})
