import { PreTrainedTokenizer } from '@xenova/transformers'
import { errorMessage } from '../../core/errors.ts'
import { readVerified, unusable } from '../models/files.ts'
import type { Model } from '../models/model.ts'

export interface TokenizedText {
  /** Special tokens included, at most the model's limit. */
  readonly ids: Int32Array
  readonly truncated: boolean
}

/** Characters per token that a first look at a long text allows for; a text with longer tokens is looked at again. */
const charactersPerToken = 8

/** Text to token ids, as a model wants them. Blocks its thread. */
export class TextTokenizer {
  readonly #tokenizer: PreTrainedTokenizer
  readonly #maxTokens: number
  readonly #padId: number
  readonly #head: readonly number[]
  readonly #tail: readonly number[]

  private constructor(tokenizer: PreTrainedTokenizer, { maxTokens, padId }: Model) {
    this.#tokenizer = tokenizer
    this.#maxTokens = maxTokens
    this.#padId = padId
    const bare = this.#encode('a')
    const framed = this.#tokenizer.encode('a')
    const start = framed.findIndex((_, at) => bare.every((id, index) => framed[at + index] === id))
    this.#head = framed.slice(0, Math.max(start, 0))
    this.#tail = framed.slice(Math.max(start, 0) + bare.length)
  }

  /** Throws `Fatal` (`model_unusable`) when a file is missing, has the wrong checksum or is no tokenizer. */
  static async load(model: Model): Promise<TextTokenizer> {
    const [json, config] = await Promise.all([readVerified(model.tokenizer), readVerified(model.tokenizerConfig)])
    try {
      return new TextTokenizer(new PreTrainedTokenizer(parse(json), parse(config)), model)
    } catch (error) {
      throw unusable(`the tokenizer ${model.tokenizer.path} cannot be loaded: ${errorMessage(error)}.`, error)
    }
  }

  /** The ids of a text, cut at the model's limit. Of a long text only the beginning is looked at. */
  tokenize(text: string): TokenizedText {
    const room = Math.max(0, this.#maxTokens - this.#head.length - this.#tail.length)
    let end = prefixEnd(text, this.#maxTokens * charactersPerToken)
    let ids = this.#encode(text.slice(0, end))
    while (ids.length <= room && end < text.length) {
      end = prefixEnd(text, end * 2)
      ids = this.#encode(text.slice(0, end))
    }
    const truncated = ids.length > room
    const framed = [...this.#head, ...(truncated ? ids.slice(0, room) : ids), ...this.#tail]
    // Where there are no special tokens, an empty text would be nothing at all.
    return { ids: Int32Array.from(framed.length === 0 ? [this.#padId] : framed), truncated }
  }

  /** Tokens in the whole text, special tokens left out. */
  count(text: string): number {
    return this.#encode(text).length
  }

  #encode(text: string): number[] {
    return this.#tokenizer.encode(text, { add_special_tokens: false })
  }
}

function parse(content: Buffer): object {
  const value: unknown = JSON.parse(content.toString('utf8'))
  if (typeof value !== 'object' || value === null) throw new Error('it is no JSON object')
  return value
}

/**
 * Where a prefix of about `length` characters ends: between two words, so that it has the same tokens as in the whole;
 * in the midst of one that is as long again.
 */
function prefixEnd(text: string, length: number): number {
  const space = text.slice(length, 2 * length).search(/\s/)
  return space < 0 ? Math.min(2 * length, text.length) : length + space
}
