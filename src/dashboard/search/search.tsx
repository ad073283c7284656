import { useEffect, useState } from 'preact/hooks'
import type { SearchMatch } from '../../client/index.ts'
import type { Collection } from '../api.ts'
import { formatCount, formatMs, plural } from '../format.ts'
import { EventRow } from '../parts/event-row.tsx'
import { wordsIn } from '../parts/marked.tsx'
import { Picker } from '../parts/picker.tsx'
import { Problem } from '../parts/problem.tsx'
import { Section } from '../parts/section.tsx'
import { useClient } from '../session.ts'
import { useList } from '../use-list.ts'
import { useSettled } from '../use-settled.ts'

interface Found {
  readonly matches: readonly SearchMatch[]
  /** That were looked for. */
  readonly words: ReadonlySet<string>
  readonly ms: number
}

const mostMatches = 10
/** How much words count beside meaning. */
const wordsWeight = 0.3

/** What means about the same as a text, or has its words, as it is typed. */
export function Search() {
  const { items, error: listError } = useList<Collection>('collections')
  const collections = items ?? []
  const [wanted, setWanted] = useState<string | undefined>(undefined)
  const chosen = collections.find(({ name }) => name === wanted) ?? collections[0]
  const [text, setText] = useState('')
  const { found, error } = useSearch(chosen?.name, useSettled(text.trim(), 180))
  return (
    <Section
      id="search"
      title="Search by meaning"
      aside={
        <>
          <Picker
            label="Collection"
            options={collections.map(({ name }) => name)}
            chosen={chosen?.name}
            onChoose={setWanted}
          />
          <span class="muted status" role="status">
            {found
              ? `${plural(found.matches.length, 'match').replace('matchs', 'matches')} in ${formatMs(found.ms)}`
              : chosen && `${formatCount(chosen.count)} vectors`}
          </span>
        </>
      }
    >
      <label>
        <span class="visually-hidden">Search text</span>
        <input
          type="search"
          class="search-box"
          placeholder="Say it in your own words"
          disabled={chosen === undefined}
          value={text}
          onInput={({ currentTarget }) => setText(currentTarget.value)}
        />
      </label>
      {(error ?? listError) !== undefined && <Problem error={error ?? listError} />}
      {items?.length === 0 && (
        <p class="empty">
          No collection yet. The first event that a pipeline with a <code>vectors</code> sink writes makes one.
        </p>
      )}
      {chosen && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard.
        <section class="matches" tabIndex={0} aria-label="Matches, best first">
          {!found && (
            <p class="empty">
              Finds what means about the same, in whatever words, and names and codes by the letter. An event can be
              found as soon as its pipeline has embedded it.
            </p>
          )}
          {found?.matches.length === 0 && <p class="empty">The collection has nothing in it.</p>}
          {found?.matches.map(({ id, score, similarity, words, fields, timestamp }) => (
            <EventRow
              key={id}
              time={timestamp}
              value={fields}
              score={score}
              byWords={words === undefined ? undefined : wordsWeight * words}
              words={found.words}
              place={id}
            >
              <p class="muted parts">
                <span class="by-meaning">meaning {similarity.toFixed(2)}</span>
                {words !== undefined && <span class="by-words">words {words.toFixed(2)}</span>}
              </p>
            </EventRow>
          ))}
        </section>
      )}
    </Section>
  )
}

function useSearch(collection: string | undefined, text: string): { found: Found | undefined; error: unknown } {
  const client = useClient()
  const [found, setFound] = useState<Found | undefined>(undefined)
  const [error, setError] = useState<unknown>(undefined)
  useEffect(() => {
    setError(undefined)
    if (collection === undefined || text === '') {
      setFound(undefined)
      return
    }
    const stop = new AbortController()
    const started = performance.now()
    client.search(collection, { text, k: mostMatches, hybrid: { weight: wordsWeight } }, stop.signal).then(
      (matches) => {
        if (!stop.signal.aborted) setFound({ matches, words: wordsIn(text), ms: performance.now() - started })
      },
      (problem: unknown) => {
        if (!stop.signal.aborted) setError(problem)
      },
    )
    return () => stop.abort()
  }, [client, collection, text])
  return { found, error }
}
