/** What can be found in texts. */
export const kinds = ['email', 'card', 'token', 'phone'] as const
export type SecretKind = (typeof kinds)[number]

/**
 * The text with everything of these kinds replaced. Takes time in proportion to the text, whatever the text: each
 * pattern either has bounded repetition, or nothing that could fail after an unbounded one.
 */
export function redactText(text: string, wanted: readonly SecretKind[], replacement?: string): string {
  let result = text
  for (const { kind, redact } of passes) if (wanted.includes(kind)) result = redact(result, replacement ?? `[${kind}]`)
  return result
}

/** Whether all the digits are a payment card number: its length, its first digit and its check digit are right. */
export function isCardNumber(digits: string): boolean {
  return /^[2-6]\d{11,18}$/.test(digits) && hasCheckDigit(digits)
}

/** Tokens first: one may contain what looks like an address or a number. */
const passes: readonly { kind: SecretKind; redact: (text: string, replacement: string) => string }[] = [
  { kind: 'token', redact: redactTokens },
  { kind: 'email', redact: redactEmails },
  { kind: 'card', redact: redactCards },
  { kind: 'phone', redact: (text, replacement) => text.replace(phone, () => replacement) },
]

const phone = /(?<![\w+])\+\d{1,3}(?:[ .\-/()]{0,2}\d){6,14}(?!\d)/g

/** By their makers' prefixes, at the beginning of a word. */
const prefixed = [
  '(?:AKIA|ASIA|AROA|AIDA|AGPA|AIPA|ANPA|ANVA)[A-Z0-9]{16}', // AWS
  'gh[pousr]_[A-Za-z0-9]{20,}', // GitHub
  'github_pat_[A-Za-z0-9_]{20,}',
  'gl(?:pat|dt|rt|ft|soat)-[A-Za-z0-9_-]{16,}', // GitLab
  '(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,}', // Slack
  '[srp]k_(?:live|test)_[A-Za-z0-9]{8,}', // Stripe
  'whsec_[A-Za-z0-9+/=]{16,}',
  'sk-[A-Za-z0-9_-]{16,}', // OpenAI, Anthropic
  'AIza[A-Za-z0-9_-]{30,}', // Google
  'ya29\\.[A-Za-z0-9_-]{16,}',
  '(?:npm|hf|pcsk|gsk|r8|dop_v1|doo_v1|dor_v1|shp(?:at|ca|pa|ss))_[A-Za-z0-9_]{20,}', // npm, Hugging Face, Pinecone, …
  'pypi-[A-Za-z0-9_-]{16,}',
  'SG\\.[A-Za-z0-9_-]{16,64}\\.[A-Za-z0-9_-]{16,64}', // SendGrid
  'eyJ[A-Za-z0-9_-]{10,}(?:\\.[A-Za-z0-9_-]+){0,4}', // JSON Web Tokens
]
const tokens = new RegExp(`(?<![A-Za-z0-9])(?:${prefixed.join('|')})`, 'g')

/** To the end of the text if the key has no end, as in a text that was cut. */
const privateKey =
  /-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----|$)/g
const credentials =
  /(?<![A-Za-z0-9])(?:authorization["']?\s{0,3}[:=]\s{0,3}["']?(?:bearer|basic|token|digest)\s{1,4}[^\s"',]+|bearer\s{1,4}(?=[^\s\d]{0,200}\d)[A-Za-z0-9._~+/=-]{16,})/gi
const named =
  /(?<![A-Za-z0-9])((?:api|access|secret|private|client|auth)[_-]?(?:key|token|secret)["']?\s{0,3}[:=]\s{0,3}["']?)[^\s"',;]{8,}/gi
const urlPassword = /(:\/\/[^\s:@/]{0,256}:)[^\s@/]{1,256}(?=@)/g

function redactTokens(text: string, replacement: string): string {
  return text
    .replace(privateKey, () => replacement)
    .replace(urlPassword, (_match, before: string) => before + replacement)
    .replace(tokens, () => replacement)
    .replace(credentials, () => replacement)
    .replace(named, (_match, before: string) => before + replacement)
}

const localCharacter = /[\p{L}\p{N}\p{M}.!#$%'*+^_`~-]/u
const domainCharacter = /[\p{L}\p{N}\p{M}.-]/u
const maxLocal = 256
const maxDomain = 512

/** Works outwards from each @, so that every character is looked at a bounded number of times. */
function redactEmails(text: string, replacement: string): string {
  let result = ''
  let done = 0
  for (let at = text.indexOf('@'); at !== -1; at = text.indexOf('@', at + 1)) {
    let start = at
    while (start > done && at - start < maxLocal && localCharacter.test(characterBefore(text, start)))
      start -= characterBefore(text, start).length
    const end = at + 1 + domainLength(text, at + 1)
    if (start === at || end === at + 1) continue
    result += text.slice(done, start) + replacement
    done = end
  }
  return result + text.slice(done)
}

/** A character outside the Basic Multilingual Plane is two units of a JavaScript string. */
function characterBefore(text: string, index: number): string {
  const pair = index > 1 ? text.slice(index - 2, index) : ''
  return /^[\ud800-\udbff][\udc00-\udfff]$/.test(pair) ? pair : text.slice(index - 1, index)
}

/** How many units from `from` on are a domain with at least two labels, the last one not a number; else 0. */
function domainLength(text: string, from: number): number {
  let length = 0
  for (const character of text.slice(from, from + maxDomain)) {
    if (!domainCharacter.test(character)) break
    length += character.length
  }
  const labels = text.slice(from, from + length).split('.')
  while (labels.length > 1 && !/^[^\d-].*[^-]$/u.test(labels.at(-1) ?? '')) labels.pop()
  return labels.length > 1 && labels[0] !== '' ? labels.join('.').length : 0
}

/** Groups of digits with single separators between them. */
const digitRuns = /\d+(?:[ .\-\u00a0\u202f]\d+)*/g

function redactCards(text: string, replacement: string): string {
  return text.replace(digitRuns, (run) => redactRun(run, replacement))
}

/** A card number begins and ends with a group: from each group on, as many groups as make a card number. */
function redactRun(run: string, replacement: string): string {
  if (run.length < 12) return run
  const parts = run.split(/(\D)/)
  let result = ''
  for (let index = 0; index < parts.length; index++) {
    const end = cardEnd(parts, index)
    result += end === undefined ? (parts[index] ?? '') : replacement
    if (end !== undefined) index = end
  }
  return result
}

/** Index of the last part of the longest card number that begins at a part. */
function cardEnd(parts: readonly string[], start: number): number | undefined {
  let digits = ''
  let found: number | undefined
  for (let index = start; index < parts.length && digits.length <= 19; index += 2) {
    digits += parts[index] ?? ''
    if (isCardNumber(digits)) found = index
  }
  return found
}

/** The Luhn algorithm, ISO/IEC 7812-1. */
function hasCheckDigit(digits: string): boolean {
  let sum = 0
  for (let index = 0; index < digits.length; index++) {
    const digit = digits.charCodeAt(digits.length - 1 - index) - 48
    const doubled = index % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}
