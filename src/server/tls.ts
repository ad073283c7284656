import { readFile } from 'node:fs/promises'
import { createServer, type Server, type ServerOptions } from 'node:https'
import { FollowedFiles } from '../access/index.ts'
import { errorMessage, InvalidInput } from '../core/errors.ts'
import type { Log } from '../telemetry/index.ts'

/** PEM files, and what is asked of clients. */
export interface TlsFiles {
  /** The certificate, with those between it and its authority behind it. */
  readonly cert: string
  readonly key: string
  /** The authorities that sign clients' certificates. */
  readonly ca?: string | undefined
  /** `required`: without a certificate of one of the authorities no connection comes about. */
  readonly clients?: 'optional' | 'required' | undefined
}

const lookEveryMs = 2_000

/**
 * A server that speaks TLS. New connections get the certificate that is in the files, also when those change. Throws
 * `InvalidInput` (`certificate_unusable`).
 */
export async function createTlsServer(
  tls: TlsFiles,
  log: Pick<Log, 'warn' | 'info'>,
  listener: NonNullable<Parameters<typeof createServer>[1]>,
): Promise<Server> {
  const paths = [tls.cert, tls.key, ...(tls.ca === undefined ? [] : [tls.ca])]
  const failed = (error: unknown) =>
    log.warn('certificate files that have changed cannot be used; those before stay', { error: errorMessage(error) })
  const files = await FollowedFiles.open(paths, () => readContext(tls), failed)
  let used = await files.get()
  const server = createServer(
    { ...used, requestCert: tls.clients !== undefined, rejectUnauthorized: tls.clients === 'required' },
    listener,
  )
  const timer = setInterval(async () => {
    const current = await files.get()
    if (current === used) return
    used = current
    server.setSecureContext(current)
    log.info('new connections get the certificate that has changed', { file: tls.cert })
  }, lookEveryMs)
  timer.unref()
  server.on('close', () => clearInterval(timer))
  return server
}

type Secrets = Pick<ServerOptions, 'cert' | 'key' | 'ca'>

async function readContext({ cert, key, ca }: TlsFiles): Promise<Secrets> {
  try {
    const secrets: Secrets = {
      cert: await readFile(cert),
      key: await readFile(key),
      ...(ca === undefined ? {} : { ca: await readFile(ca) }),
    }
    // Says now what is wrong with them, or that they do not belong together.
    createServer(secrets).close()
    return secrets
  } catch (error) {
    throw new InvalidInput({
      code: 'certificate_unusable',
      message: `The server cannot speak TLS with ${cert} and ${key}: ${errorMessage(error)}.`,
      hint: 'server.tls.cert and server.tls.key are PEM files that belong together, and server.tls.ca one with authorities.',
      cause: error,
    })
  }
}
