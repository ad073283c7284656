import { get, type PipelineFile } from '../api.ts'
import { Problem } from '../parts/problem.tsx'
import { useAnswer } from '../use-answer.ts'

/** The YAML of a pipeline. */
export function PipelineText({ pipeline }: { readonly pipeline: string }) {
  const { value, error } = useAnswer(pipeline, (client, signal) => {
    return get<PipelineFile>(client, `/v1/pipelines/${encodeURIComponent(pipeline)}`, signal)
  })
  if (error !== undefined) return <Problem error={error} />
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard.
    <section class="code detail" tabIndex={0} aria-label={`YAML of ${pipeline}`}>
      <pre>{value === undefined ? '…' : yaml(value.text)}</pre>
    </section>
  )
}

/** Comments and names in colours; enough to read by, and no parser. */
function yaml(text: string) {
  return text.split('\n').map((line) => {
    const [, indent = '', name, rest = ''] = /^(\s*(?:- )?)([\w.-]+:)?(.*)$/.exec(line) ?? []
    const comment = rest.startsWith('#') && name === undefined
    return (
      <>
        {indent}
        {name !== undefined && <span class="json-name">{name}</span>}
        {comment ? <span class="json-comment">{rest}</span> : rest}
        {'\n'}
      </>
    )
  })
}
