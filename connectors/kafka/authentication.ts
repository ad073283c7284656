import { readFile } from 'node:fs/promises'
import { errorMessage, Fatal, InvalidInput } from '../../src/core/errors.ts'
import { oauthTokens } from './oauth.ts'
import type { KafkaSettings } from './settings.ts'

/** Options for `tls.connect`, or `undefined` for plain connections. Throws `Fatal` for a file that cannot be read. */
export async function tlsOptions({ ssl, tls }: KafkaSettings): Promise<object | undefined> {
  if (!ssl && tls === undefined) return undefined
  const [ca, cert, key] = await Promise.all([pem('ca', tls?.ca), pem('cert', tls?.cert), pem('key', tls?.key)])
  return { ...(ca && { ca: [ca] }), ...(cert && { cert }), ...(key && { key }) }
}

async function pem(option: string, path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined
  try {
    return await readFile(path)
  } catch (cause) {
    throw new Fatal({
      code: 'file_unreadable',
      message: `kafka.tls.${option}: cannot read ${path}: ${errorMessage(cause)}`,
      cause,
    })
  }
}

/** The `sasl` option of kafkajs. Throws `InvalidInput` where a setting is missing. */
export function saslOptions({ sasl }: KafkaSettings): object | undefined {
  if (sasl === undefined) return undefined
  const { mechanism, username, password } = sasl
  if (mechanism === 'oauthbearer') {
    const { tokenUrl, clientId, clientSecret, scope } = sasl
    if (tokenUrl === undefined || clientId === undefined || clientSecret === undefined)
      throw incomplete('oauthbearer needs tokenUrl, clientId and clientSecret')
    const token = oauthTokens({ tokenUrl, clientId, clientSecret, scope })
    return { mechanism, oauthBearerProvider: async () => ({ value: await token() }) }
  }
  if (username === undefined || password === undefined) throw incomplete(`${mechanism} needs username and password`)
  return { mechanism, username, password }
}

function incomplete(problem: string): InvalidInput {
  return new InvalidInput({ code: 'incomplete_sasl', message: `kafka.sasl: ${problem}` })
}
