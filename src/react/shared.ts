import type { Client } from '../client/index.ts'
import { nextFrame } from './frame.ts'

/** What feeds components: a subscription, and what is known from it. */
export interface Source<View> {
  /** What there is to see now. Asked for once per frame at most, after `changed` was called. */
  view(): View
  close(): void
}

/** `request` is what was asked for, by value; `changed` tells that there is another view. */
export type OpenSource<Request, View> = (client: Client, request: Request, changed: () => void) => Source<View>

/** Sources of one kind. Components that ask the same of one client share a source, open while there are any. */
export class Sources<Request extends object, View> {
  /** What is seen before there is a source, and on a server. */
  readonly nothing: View
  readonly #open: OpenSource<Request, View>
  readonly #shared = new WeakMap<Client, Map<string, Shared<View>>>()

  constructor(nothing: View, open: OpenSource<Request, View>) {
    this.nothing = nothing
    this.#open = open
  }

  /** `request` as JSON. */
  view(client: Client, request: string): View {
    return this.#of(client).get(request)?.view ?? this.nothing
  }

  /** Answers what ends it. */
  follow(client: Client, request: string, changed: () => void): () => void {
    const known = this.#of(client)
    const shared =
      known.get(request) ??
      new Shared(
        (redraw) => this.#open(client, JSON.parse(request), redraw),
        () => known.delete(request),
      )
    known.set(request, shared)
    return shared.add(changed)
  }

  #of(client: Client): Map<string, Shared<View>> {
    const known = this.#shared.get(client) ?? new Map<string, Shared<View>>()
    this.#shared.set(client, known)
    return known
  }
}

class Shared<View> {
  /** One for each component. */
  readonly #followers = new Set<{ readonly changed: () => void }>()
  readonly #source: Source<View>
  readonly #closed: () => void
  #view: View
  #stopDrawing: (() => void) | undefined
  #leaving: ReturnType<typeof setTimeout> | undefined

  constructor(open: (changed: () => void) => Source<View>, closed: () => void) {
    this.#closed = closed
    this.#source = open(() => {
      this.#stopDrawing ??= nextFrame(() => this.#draw())
    })
    this.#view = this.#source.view()
  }

  get view(): View {
    return this.#view
  }

  add(changed: () => void): () => void {
    clearTimeout(this.#leaving)
    const follower = { changed }
    this.#followers.add(follower)
    return () => {
      this.#followers.delete(follower)
      // React may take a component off and put it back at once.
      if (this.#followers.size === 0) this.#leaving = setTimeout(() => this.#close())
    }
  }

  #draw(): void {
    this.#stopDrawing = undefined
    this.#view = this.#source.view()
    for (const { changed } of [...this.#followers]) changed()
  }

  #close(): void {
    this.#closed()
    this.#stopDrawing?.()
    this.#source.close()
  }
}
