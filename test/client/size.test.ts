import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { expect, test } from 'vitest'
import { packageRoot } from '../../src/cli/package.ts'

test('the SDK is small: minified and compressed less than 10 kB, and without a package', async () => {
  const result = await build({
    configFile: false,
    root: packageRoot(),
    logLevel: 'silent',
    build: {
      write: false,
      target: 'es2022',
      minify: true,
      modulePreload: false,
      rolldownOptions: { input: join(packageRoot(), 'src/client/index.ts'), preserveEntrySignatures: 'strict' },
    },
  })
  const outputs = Array.isArray(result) ? result : [result]
  const chunks = outputs.flatMap((built) => ('output' in built ? built.output : []))
  expect(chunks.map(({ type }) => type)).toEqual(['chunk'])
  const code = chunks.map((chunk) => (chunk.type === 'chunk' ? chunk.code : '')).join('')
  expect(code).not.toMatch(/\bfrom\s*["']/)
  const compressed = gzipSync(code).length
  expect(code).toContain('export{')
  expect(compressed).toBeLessThan(10_000)
})
