import { useRef, useState } from 'preact/hooks'
import type { JsonValue } from '../../client/index.ts'
import type { Pipeline, PipelineFile, Topic } from '../api.ts'
import { Picker } from '../parts/picker.tsx'
import { Problem } from '../parts/problem.tsx'
import { Section } from '../parts/section.tsx'
import { useClient } from '../session.ts'
import { useList } from '../use-list.ts'
import { ProgressLine } from './progress-line.tsx'
import { type Progress, send } from './send.ts'
import { useExample } from './use-example.ts'

interface Props {
  readonly files: readonly PipelineFile[]
  readonly pipelines: readonly Pipeline[]
}

const mostShown = 2

/** Publishes an event and shows it come through. */
export function Publish({ files, pipelines }: Props) {
  const client = useClient()
  const { items, error: listError } = useList<Topic>('topics')
  const topics = (items ?? []).filter(({ name }) => !isInternal(name, files)).sort(byReaders(files))
  const [wanted, setWanted] = useState<string | undefined>(undefined)
  const topic = topics.find(({ name }) => name === wanted) ?? topics[0]
  const example = useExample(topic)
  const [edited, setEdited] = useState<string | undefined>(undefined)
  const [error, setError] = useState<unknown>(undefined)
  const [progress, setProgress] = useState<readonly Progress[]>([])
  const latest = useRef(pipelines)
  latest.current = pipelines
  const lastId = useRef(0)
  const text = edited ?? example

  const publish = async () => {
    if (!topic) return
    const parsed = parse(text)
    if ('error' in parsed) return setError(parsed.error)
    setError(undefined)
    const order = {
      id: ++lastId.current,
      topic: topic.name,
      value: parsed.value,
      files,
      pipelines: () => latest.current,
    }
    await send(client, order, (step) => {
      setProgress((before) =>
        [step, ...before.filter(({ id }) => id !== step.id)].sort(newestFirst).slice(0, mostShown),
      )
    })
  }
  return (
    <Section
      id="publish"
      title="Publish"
      aside={
        <Picker
          label="Topic"
          options={topics.map(({ name }) => name)}
          chosen={topic?.name}
          onChoose={(name) => {
            setWanted(name)
            setEdited(undefined)
            setError(undefined)
          }}
        />
      }
    >
      {items !== undefined && topics.length === 0 ? (
        <p class="empty">
          No topic yet. One is made for every pipeline that reads it, or with{' '}
          <code>millrace topics create my.topic</code>.
        </p>
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault()
            void publish()
          }}
        >
          <label>
            <span class="visually-hidden">Event as JSON</span>
            <textarea
              class="mono"
              rows={5}
              spellcheck={false}
              autoCapitalize="off"
              value={text}
              onInput={({ currentTarget }) => setEdited(currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return
                event.preventDefault()
                void publish()
              }}
            />
          </label>
          <div class="form-foot">
            <button type="submit" class="primary" disabled={topic === undefined} title="Ctrl+Enter">
              Publish
            </button>
            <div class="outcomes" role="status">
              {progress.length === 0 && <span class="muted">and see it come through</span>}
              {progress.map((step) => (
                <ProgressLine key={step.id} progress={step} />
              ))}
            </div>
          </div>
        </form>
      )}
      {(error ?? listError) !== undefined && <Problem error={error ?? listError} />}
    </Section>
  )
}

/** Dead letters and intakes are written by pipelines alone. */
function isInternal(topic: string, files: readonly PipelineFile[]): boolean {
  return files.some(({ name }) => topic === `${name}.dlq` || topic === `${name}.in`)
}

/** Topics that a pipeline reads come first. */
function byReaders(files: readonly PipelineFile[]): (one: Topic, other: Topic) => number {
  const unread = ({ name }: Topic) => Number(!files.some(({ source }) => source.includes(name)))
  return (one, other) => unread(one) - unread(other) || one.name.localeCompare(other.name)
}

function newestFirst(one: Progress, other: Progress): number {
  return other.id - one.id
}

function parse(text: string): { readonly value: JsonValue } | { readonly error: unknown } {
  try {
    return { value: JSON.parse(text) }
  } catch (error) {
    return { error: new Error(`This is not JSON: ${error instanceof Error ? error.message : String(error)}`) }
  }
}
