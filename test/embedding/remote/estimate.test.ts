import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createEmbedder } from '../../../src/embedding/embedder.ts'
import { openLocalBackend } from '../../../src/embedding/local/index.ts'
import { readModel } from '../../../src/embedding/models/model.ts'
import { cutToTokens, estimateTokens } from '../../../src/embedding/remote/estimate.ts'
import { modelFolder } from '../support.ts'

let embedder: Awaited<ReturnType<typeof createEmbedder>>
beforeAll(async () => {
  embedder = await createEmbedder({ backend: openLocalBackend({ model: await readModel(modelFolder), workers: 1 }) })
})
afterAll(() => embedder.close())

test('what people write has no more tokens than are estimated, and no less than a third of them', async () => {
  const texts = [
    'My card shows two payments for one order, and nobody answers the phone since Thursday!',
    'TypeError: Cannot read properties of undefined (reading "map") at /srv/app/index.js:42:17',
    'Order #48213-B of 2026-01-31, 3 pieces at 19.90 EUR each; total 59.70 EUR incl. VAT',
    '请问如何重置我的密码？我已经尝试了三次，但都没有成功。',
    'Das Kündigungsschreiben wurde letzte Woche versandt; eine Bestätigung steht noch aus.',
    'export const answer = (n: number): number => (n < 2 ? n : answer(n - 1) + answer(n - 2))',
  ]
  const counts = await embedder.countTokens(texts)
  for (const [index, text] of texts.entries()) {
    const estimate = estimateTokens(text)
    expect(estimate, text).toBeGreaterThanOrEqual(counts[index] ?? 0)
    expect(estimate, text).toBeLessThanOrEqual(3 * (counts[index] ?? 0))
  }
})

test('a text is cut to the most tokens that fit, and never in the midst of a sign', () => {
  const text = fc.string({ unit: 'binary', maxLength: 60 })
  fc.assert(
    fc.property(text, fc.integer({ min: 0, max: 80 }), (whole, most) => {
      const cut = cutToTokens(whole, most)
      expect(whole.startsWith(cut)).toBe(true)
      expect(estimateTokens(cut)).toBeLessThanOrEqual(most)
      expect(Buffer.from(cut).toString()).toBe(cut)
      const [next = ''] = whole.slice(cut.length)
      if (next !== '') expect(estimateTokens(cut + next)).toBeGreaterThan(most)
    }),
  )
})
