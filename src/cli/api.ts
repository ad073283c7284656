import { z } from 'zod'
import { type ErrorDetail, MillraceError } from '../core/errors.ts'

/** Whoever answers the HTTP API: a process on the network, or the same application inside this one. */
export interface Target extends AsyncDisposable {
  /** For messages: an address, or a data folder. */
  readonly where: string
  /** `path` starts with a slash. */
  request(path: string, init?: RequestInit): Promise<Response>
}

/** RFC 9457, as far as it is shown. */
const problem = z.looseObject({
  code: z.string().optional(),
  title: z.string().optional(),
  detail: z.string().optional(),
  hint: z.string().optional(),
  errors: z
    .array(z.object({ index: z.number().optional(), pointer: z.string().optional(), message: z.string() }))
    .optional(),
})

interface EventError {
  readonly index?: number | undefined
  /** JSON pointer into the event. */
  readonly pointer?: string | undefined
  readonly message: string
}

/** The server has refused a request, or has failed on it. */
export class ApiError extends MillraceError {
  readonly status: number
  /** What is wrong with single events of the request, by their index in it. */
  readonly errors: readonly EventError[]

  constructor(status: number, detail: ErrorDetail, errors: ApiError['errors']) {
    super(detail)
    this.status = status
    this.errors = errors
  }
}

/** Makes a call and checks the answer's shape. Throws `ApiError` with what the server says is wrong. */
export async function call<T>(target: Target, path: string, answer: z.ZodType<T>, init?: RequestInit): Promise<T> {
  const response = await callRaw(target, path, init)
  const result = answer.safeParse(parseJson(await response.text()))
  if (result.success) return result.data
  throw new MillraceError({
    code: 'unexpected_answer',
    message: `${target.where}${path} answered something else than expected: ${z.prettifyError(result.error)}`,
    hint: 'is the server of the same version as this command?',
  })
}

/** Makes a call whose answer is not a JSON document, such as a stream. Throws `ApiError`. */
export async function callRaw(target: Target, path: string, init?: RequestInit): Promise<Response> {
  const response = await target.request(path, init)
  if (!response.ok) throw await responseError(response, `${target.where}${path}`)
  return response
}

async function responseError(response: Response, where: string): Promise<ApiError> {
  const text = await response.text()
  const { code, title, detail, hint, errors = [] } = problem.safeParse(parseJson(text)).data ?? {}
  const message = detail ?? title ?? `${where} answered ${response.status} ${response.statusText}`.trim()
  const described = { code: code ?? `http_${response.status}`, message, hint: hint ?? statusHint(response.status) }
  return new ApiError(response.status, described, errors)
}

function statusHint(status: number): string | undefined {
  if (status === 401 || status === 403) return 'give a token with --token or in MILLRACE_SERVER_TOKEN'
  return undefined
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function jsonBody(method: string, value: unknown): RequestInit {
  return { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) }
}
