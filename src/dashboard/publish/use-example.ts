import { newestEvents, type Topic } from '../api.ts'
import { exampleOf } from '../example.ts'
import { useAnswer } from '../use-answer.ts'

/** An event for the topic to start from: its newest one, else one that fits its schema. */
export function useExample(topic: Topic | undefined): string {
  const { value, error } = useAnswer(topic?.name ?? '', async (client, signal) => {
    if (!topic) return ''
    const events = topic.records === 0 ? [] : await newestEvents(client, topic.name, 5, signal)
    const newest = events.find((event) => event.value !== null)
    return JSON.stringify(newest?.value ?? exampleOf(topic.schema ?? {}), undefined, 2)
  })
  return value ?? (error === undefined ? '' : '{}')
}
