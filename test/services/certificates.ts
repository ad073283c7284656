import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Paths of a certificate: PEM for its parts, PKCS12 for both together under the password of the whole set. */
export interface Certificate {
  readonly certificate: string
  readonly key: string
  readonly pkcs12: string
}

/** What a test of TLS needs, made for one day. */
export interface Certificates {
  /** The certificate, as PEM, of the authority that has signed the others. */
  readonly authority: string
  /** For 127.0.0.1 and localhost. */
  readonly server: Certificate
  readonly client: Certificate
  /** Opens the PKCS12 files. */
  readonly password: string
}

const run = promisify(execFile)
const password = 'changeit'
const serverNames = 'subjectAltName=IP:127.0.0.1,DNS:localhost'

/** Makes an authority and certificates of it in the folder by `openssl`. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  await mkdir(folder, { recursive: true })
  const openssl = async (...args: string[]) => void (await run('openssl', args, { cwd: folder }))
  const newKey = ['-newkey', 'rsa:2048', '-nodes']
  await openssl(
    ...['req', '-x509', ...newKey, '-days', '1', '-subj', '/CN=Test Authority'],
    ...['-keyout', 'authority.key', '-out', 'authority.pem'],
    ...['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=keyCertSign'],
  )
  const issue = async (name: string, extensions: string): Promise<Certificate> => {
    const extensionFile = `${name}.extensions`
    await writeFile(join(folder, extensionFile), extensions)
    await openssl('req', ...newKey, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.request`)
    await openssl(
      ...['x509', '-req', '-in', `${name}.request`, '-days', '1', '-CA', 'authority.pem', '-CAkey', 'authority.key'],
      ...['-CAcreateserial', '-extfile', extensionFile, '-out', `${name}.pem`],
    )
    await openssl(
      ...['pkcs12', '-export', '-in', `${name}.pem`, '-inkey', `${name}.key`, '-certfile', 'authority.pem'],
      ...['-name', name, '-passout', `pass:${password}`, '-out', `${name}.p12`],
    )
    const path = (ending: string) => join(folder, `${name}.${ending}`)
    return { certificate: path('pem'), key: path('key'), pkcs12: path('p12') }
  }
  const server = await issue('server', `${serverNames}\nextendedKeyUsage=serverAuth\n`)
  const client = await issue('client', 'extendedKeyUsage=clientAuth\n')
  return { authority: join(folder, 'authority.pem'), server, client, password }
}
