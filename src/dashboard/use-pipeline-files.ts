import { get, type Pipeline, type PipelineFile } from './api.ts'
import { useAnswer } from './use-answer.ts'

/** The pipelines with their files; read again when one comes, goes or starts. */
export function usePipelineFiles(pipelines: readonly Pipeline[] | undefined): readonly PipelineFile[] {
  const key = (pipelines ?? []).map(({ name, state }) => (state === 'starting' ? `${name}…` : name)).join()
  const { value } = useAnswer(key, (client, signal) => {
    return get<{ pipelines: readonly PipelineFile[] }>(client, '/v1/pipelines', signal)
  })
  return value?.pipelines ?? []
}
