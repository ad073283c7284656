/** Reversed polynomial of CRC-32C (Castagnoli, RFC 3720 appendix B.4), with which Kafka checks its batches. */
const polynomial = 0x82f63b78

const table = Int32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte
  for (let bit = 0; bit < 8; bit++) rest = (rest & 1) === 0 ? rest >>> 1 : (rest >>> 1) ^ polynomial
  return rest
})

/** Unsigned. */
export function crc32c(content: Uint8Array): number {
  let checksum = -1
  for (let at = 0; at < content.length; at++)
    checksum = (checksum >>> 8) ^ (table[(checksum ^ (content[at] ?? 0)) & 0xff] ?? 0)
  return ~checksum >>> 0
}
