/** A bound on texts and characters that are held at once. Who finds no room waits, in the order of asking. */
export class Capacity {
  readonly #maxTexts: number
  readonly #maxCharacters: number
  #texts = 0
  #characters = 0
  readonly #waiting = new Set<{ readonly characters: number; enter(): void }>()

  constructor(maxTexts: number, maxCharacters: number) {
    this.#maxTexts = maxTexts
    this.#maxCharacters = maxCharacters
  }

  get texts(): number {
    return this.#texts
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Takes room if there is some and nobody waits for it. */
  tryEnter(characters: number): boolean {
    if (this.#waiting.size > 0 || !this.#fits(characters)) return false
    this.#take(characters)
    return true
  }

  /** Waits for room and takes it. Rejects with the signal's reason. */
  enter(characters: number, signal: AbortSignal): Promise<void> {
    if (this.tryEnter(characters)) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const place = {
        characters,
        enter: () => {
          signal.removeEventListener('abort', leave)
          resolve()
        },
      }
      const leave = () => {
        this.#waiting.delete(place)
        this.#admit()
        reject(signal.reason)
      }
      if (signal.aborted) return reject(signal.reason)
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.add(place)
    })
  }

  leave(characters: number): void {
    this.#texts--
    this.#characters -= characters
    this.#admit()
  }

  #admit(): void {
    for (const place of this.#waiting) {
      if (!this.#fits(place.characters)) return
      this.#waiting.delete(place)
      this.#take(place.characters)
      place.enter()
    }
  }

  /** A text that is larger than the whole bound fits when nothing else is there. */
  #fits(characters: number): boolean {
    if (this.#texts === 0) return true
    return this.#texts < this.#maxTexts && this.#characters + characters <= this.#maxCharacters
  }

  #take(characters: number): void {
    this.#texts++
    this.#characters += characters
  }
}
