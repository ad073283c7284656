export interface Line {
  /** Without its end. */
  readonly bytes: Buffer
  /** From 1; that of its first line for a CSV row that has several. */
  readonly number: number
}

export interface Split {
  readonly lines: readonly Line[]
  /** How many bytes the complete lines take, with their ends. */
  readonly used: number
  /** Lines read in all. */
  readonly count: number
}

const newline = 0x0a
const carriageReturn = 0x0d
const quote = 0x22

/** The complete lines in `bytes`, which begin after line `before`. With `quoted`, quotes may span lines, as in CSV. */
export function splitLines(bytes: Buffer, before: number, quoted: boolean): Split {
  const lines: Line[] = []
  let used = 0
  let number = before + 1
  let count = before
  let quoteAt = quoted ? bytes.indexOf(quote) : -1
  let inQuotes = false
  for (let end = bytes.indexOf(newline); end !== -1; end = bytes.indexOf(newline, end + 1)) {
    count++
    for (; quoteAt !== -1 && quoteAt < end; quoteAt = bytes.indexOf(quote, quoteAt + 1)) inQuotes = !inQuotes
    if (inQuotes) continue
    const content = end > used && bytes[end - 1] === carriageReturn ? end - 1 : end
    lines.push({ bytes: bytes.subarray(used, content), number })
    used = end + 1
    number = count + 1
  }
  return { lines, used, count: number - 1 }
}
