import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { findPython } from '../services/artefacts.ts'
import { letters } from './fakes.ts'
import { startServer } from './harness.ts'

const python = findPython()
const run = promisify(execFile)
const token = 'a-token-of-this-test'

const vectors = z.array(z.array(z.number()))
const result = z.object({
  packed: vectors,
  plain: vectors,
  short: vectors,
  passing: vectors,
  many: z.array(z.number()),
  usage: z.number(),
  models: z.array(z.string()),
  failures: z.array(z.unknown()),
})

test.skipIf(python === undefined)(
  "OpenAI's own client embeds, lists the model, and understands errors",
  async () => {
    await using server = await startServer({ token })
    const script = join(import.meta.dirname, 'openai_client.py')
    const { stdout } = await run(python ?? '', [script, `${server.address}/v1`, token, 'letters'], { timeout: 60_000 })
    const { packed, plain, short, passing, many, usage, models, failures } = result.parse(JSON.parse(stdout))
    const expected = ['charged twice', 'how do I log in'].map((text) => Array.from(letters(text)))
    expect(packed).toEqual(expected)
    expect(plain).toEqual(expected)
    expect(short.map((vector) => vector.length)).toEqual([4])
    expect(passing).toEqual(expected.slice(0, 1))
    expect(many).toEqual(Array.from({ length: 2_048 }, (_, index) => index))
    expect(usage).toBe(7)
    expect(models).toEqual(['letters'])
    expect(failures).toMatchObject([
      { type: 'NotFoundError', status: 404, code: 'model_not_found', message: expect.stringContaining('letters') },
      { type: 'BadRequestError', status: 400, message: expect.stringContaining('lists of tokens are not taken') },
      { type: 'BadRequestError', status: 400, code: 'unsupported_dimensions' },
      { type: 'AuthenticationError', status: 401 },
    ])
  },
  90_000,
)
