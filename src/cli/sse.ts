/** One server-sent event. */
export interface ServerSentEvent {
  /** `message` unless the server says otherwise. */
  readonly type: string
  readonly data: string
}

/** The events of a `text/event-stream`, as the HTML standard describes it. Ends with the stream. */
export async function* serverSentEvents(stream: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  let type = ''
  let data: string[] = []
  for await (const line of textLines(stream)) {
    if (line === '') {
      if (data.length > 0) yield { type: type || 'message', data: data.join('\n') }
      type = ''
      data = []
      continue
    }
    const colon = line.indexOf(':')
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'event') type = value
    else if (name === 'data') data.push(value)
  }
}

async function* textLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true })
    // A carriage return at the end may be the first half of a line end.
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    yield* lines
  }
}
