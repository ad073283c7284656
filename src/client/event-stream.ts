export interface ServerSentEvent {
  readonly id: string | undefined
  readonly name: string | undefined
  readonly data: string | undefined
  /** Milliseconds after which to come back. */
  readonly retry: string | undefined
}

/** What a stream of server-sent events says, as it comes. */
export async function* serverSentEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent[]> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const blocks = (text + decoder.decode(value, { stream: true })).split('\n\n')
      text = blocks.pop() ?? ''
      yield blocks.map(parse)
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

function parse(block: string): ServerSentEvent {
  const fields = new Map<string, string>()
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    // A line that begins with a colon is a comment.
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).replace(/^ /, ''))
  }
  return { id: fields.get('id'), name: fields.get('event'), data: fields.get('data'), retry: fields.get('retry') }
}
