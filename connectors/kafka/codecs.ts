import { promisify } from 'node:util'
import { gzip as deflate, gunzip } from 'node:zlib'
import { errorCode, Fatal } from '../../src/core/errors.ts'
import type { Compression } from './settings.ts'

export interface CompressionCodec {
  compress(content: Buffer): Promise<Buffer>
  decompress(content: Buffer): Promise<Buffer>
}

/** The number of each codec in the attributes of a batch. */
export const codecNumbers = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const

/** The codec of records that are written. Its package is loaded when it is first used. */
export function codecOf(compression: Exclude<Compression, 'none'>): CompressionCodec {
  return { gzip, snappy, lz4, zstd }[compression]
}

/** Content of a batch whose attributes name the codec by this number. Its package is loaded when it is first needed. */
export async function decompress(codec: number, content: Buffer): Promise<Buffer> {
  const known = [undefined, gzip, snappy, lz4, zstd]
  if (codec === codecNumbers.none) return content
  const found = known[codec]
  if (found) return found.decompress(content)
  throw new Fatal({
    code: 'unknown_codec',
    message: `records are compressed with codec ${codec}, which is not known`,
    hint: 'write them with gzip, snappy, lz4 or zstd',
  })
}

async function load<T>(name: string, module: Promise<T>): Promise<T> {
  try {
    return await module
  } catch (cause) {
    if (errorCode(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new Fatal({
      code: 'package_missing',
      message: `records of this topic are compressed in a way that needs the package "${name}"`,
      hint: `npm install ${name}`,
      cause,
    })
  }
}

const gzip: CompressionCodec = {
  compress: (content) => promisify(deflate)(content),
  decompress: (content) => promisify(gunzip)(content),
}

/** `\x82SNAPPY\0`, then version and lowest compatible version, both 1: what `SnappyOutputStream` of xerial writes first. */
const xerialMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])
const xerialHeader = Buffer.concat([xerialMagic, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])])
const xerialBlock = 32 * 1024

const snappy: CompressionCodec = {
  async compress(content) {
    const { compress } = await load('snappy', import('snappy'))
    const parts: Buffer[] = [xerialHeader]
    for (let at = 0; at < content.length; at += xerialBlock) {
      const block = await compress(content.subarray(at, at + xerialBlock))
      const length = Buffer.allocUnsafe(4)
      length.writeInt32BE(block.length)
      parts.push(length, block)
    }
    return Buffer.concat(parts)
  },
  async decompress(content) {
    const { uncompress } = await load('snappy', import('snappy'))
    const whole = async (block: Buffer) => Buffer.from(await uncompress(block))
    // Clients other than Java's write one block without a frame.
    if (!content.subarray(0, xerialMagic.length).equals(xerialMagic)) return whole(content)
    const parts: Buffer[] = []
    for (let at = xerialHeader.length; at < content.length; ) {
      const length = content.readInt32BE(at)
      at += 4
      parts.push(await whole(content.subarray(at, at + length)))
      at += length
    }
    return Buffer.concat(parts)
  },
}

const lz4: CompressionCodec = {
  async compress(content) {
    const { compressFrame } = await load('lz4-napi', import('lz4-napi'))
    return compressFrame(content)
  },
  async decompress(content) {
    const { decompressFrame } = await load('lz4-napi', import('lz4-napi'))
    return decompressFrame(content)
  },
}

const zstdLevel = 3

const zstd: CompressionCodec = {
  async compress(content) {
    const { compress } = await load('@mongodb-js/zstd', import('@mongodb-js/zstd'))
    return compress(content, zstdLevel)
  },
  async decompress(content) {
    const { decompress } = await load('@mongodb-js/zstd', import('@mongodb-js/zstd'))
    return decompress(content)
  },
}
