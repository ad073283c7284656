import { usePoll } from './use-poll.ts'

export interface List<Item> {
  /** Undefined until the server has answered. */
  readonly items: readonly Item[] | undefined
  readonly error: unknown
}

const soonMs = 2_000
const laterMs = 15_000

/** A list of the server's, such as `topics`; looked at again every now and then, sooner while it is empty. */
export function useList<Item>(name: 'topics' | 'channels' | 'collections' | 'tables' | 'queries'): List<Item> {
  const { answer, error } = usePoll<Readonly<Record<string, readonly Item[]>>>(`/v1/${name}`, (lists) => {
    return lists?.[name]?.length ? laterMs : soonMs
  })
  return { items: answer?.[name], error }
}
