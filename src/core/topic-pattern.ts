/** Whether the name of a topic stands for all that fit it: `*` is any characters. */
export function isTopicPattern(name: string): boolean {
  return name.includes('*')
}

/** Topics that a pattern does not stand for: dead letters and intakes of pipelines, and those of the log itself. */
const internal = /^__|^millrace\.|\.(?:dlq|in)$/

/** Whether a topic is among what was asked for. */
export function matchesTopic(asked: readonly string[], topic: string): boolean {
  return asked.some((name) =>
    isTopicPattern(name) ? !internal.test(topic) && expressionOf(name).test(topic) : name === topic,
  )
}

function expressionOf(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replace(/[.\\^$+?()[\]{}|]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`)
}
