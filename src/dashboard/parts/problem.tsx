import { MillraceClientError } from '../../client/index.ts'

/** What went wrong, where it happened, with what to do. */
export function Problem({ error }: { readonly error: unknown }) {
  const { message, hint, errors } = describe(error)
  return (
    <div class="problem" role="alert">
      <p>{message}</p>
      {errors.length > 1 && (
        <ul>
          {errors.map(({ pointer, message: detail }) => (
            <li key={`${pointer}${detail}`}>
              {pointer && <code>{pointer}</code>} {detail}
            </li>
          ))}
        </ul>
      )}
      {hint && <p class="hint">{hint}</p>}
    </div>
  )
}

const unreachable = 'Is millrace still running? This page goes on as soon as it answers.'

interface Description {
  readonly message: string
  readonly hint: string | undefined
  readonly errors: readonly { readonly pointer?: string; readonly message: string }[]
}

function describe(error: unknown): Description {
  if (error instanceof MillraceClientError) {
    const { message, errors = [] } = error
    return { message, hint: error.code === 'unreachable' ? unreachable : error.hint, errors }
  }
  return { message: error instanceof Error ? error.message : String(error), hint: undefined, errors: [] }
}
