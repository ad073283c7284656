/** One or several addresses of the same service; each client begins with another one. */
export class Addresses {
  readonly #addresses: readonly string[]
  #at: number

  constructor(given: string | URL | readonly (string | URL)[], random: () => number = Math.random) {
    const addresses = isList(given) ? given : [given]
    if (addresses.length === 0) throw new Error('connect() needs the address of a server.')
    this.#addresses = addresses.map((address) => String(address).replace(/\/+$/, ''))
    this.#at = Math.floor(random() * addresses.length)
  }

  get count(): number {
    return this.#addresses.length
  }

  get current(): string {
    return this.#addresses[this.#at] ?? ''
  }

  /** Goes on to the next one, for `failed` did not answer; someone else may have done so already. */
  leave(failed: string): void {
    if (failed === this.current) this.#at = (this.#at + 1) % this.count
  }
}

function isList(given: string | URL | readonly (string | URL)[]): given is readonly (string | URL)[] {
  return Array.isArray(given)
}
