import { PreTrainedTokenizer } from '@xenova/transformers'

export interface TokenizedText {
  /** Special tokens included, at most the model's limit. */
  readonly ids: readonly number[]
  readonly truncated: boolean
}

/** Characters per token that a first look at a long text allows for; a text with longer tokens is looked at again. */
const charactersPerToken = 8

/** Text to token ids. */
export class TextTokenizer {
  readonly #tokenizer: PreTrainedTokenizer
  readonly #maxTokens: number
  readonly #head: readonly number[]
  readonly #tail: readonly number[]

  constructor(tokenizer: object, config: object, maxTokens: number) {
    this.#tokenizer = new PreTrainedTokenizer(tokenizer, config)
    this.#maxTokens = maxTokens
    const bare = this.#encode('a')
    const framed = this.#tokenizer.encode('a')
    const start = framed.findIndex((_, at) => bare.every((id, index) => framed[at + index] === id))
    this.#head = framed.slice(0, Math.max(start, 0))
    this.#tail = framed.slice(Math.max(start, 0) + bare.length)
  }

  /** The ids of a text, cut at the model's limit. Of a long text only the beginning is looked at. */
  tokenize(text: string): TokenizedText {
    const room = this.#maxTokens - this.#head.length - this.#tail.length
    let end = prefixEnd(text, this.#maxTokens * charactersPerToken)
    let ids = this.#encode(text.slice(0, end))
    while (ids.length <= room && end < text.length) {
      end = prefixEnd(text, end * 2)
      ids = this.#encode(text.slice(0, end))
    }
    return { ids: [...this.#head, ...ids.slice(0, room), ...this.#tail], truncated: ids.length > room }
  }

  /** Tokens in the whole text, special tokens left out. */
  count(text: string): number {
    return this.#encode(text).length
  }

  #encode(text: string): number[] {
    return this.#tokenizer.encode(text, { add_special_tokens: false })
  }
}

/** Where a prefix of about `length` characters ends, between two words so that it has the same tokens as in the whole. */
function prefixEnd(text: string, length: number): number {
  if (text.length <= length) return text.length
  const space = /\s/g
  space.lastIndex = length
  return space.exec(text)?.index ?? text.length
}
