import { describe, expect, test } from 'vitest'
import { formatProblem } from '../../src/config/problem.ts'
import { parse, valid } from './fixture.ts'

describe('a valid pipeline', () => {
  test('becomes a specification', async () => {
    const { spec, problems } = await parse(valid)
    expect(problems).toEqual([])
    expect(spec).toEqual({
      name: 'tickets',
      source: { kind: 'topics', topics: ['support.tickets'], start: 'latest', group: 'tickets' },
      id: 'value.customer',
      processors: [
        { name: 'filter', component: 'filter', options: { where: 'value.body' } },
        { name: 'embed', component: 'embed', options: { text: 'value.body', timeout: '2s' } },
        { name: 'map', component: 'map', options: { a: 'value.subject' } },
        { name: 'filter', component: 'filter.2', options: { where: 'value.a' } },
      ],
      sinks: [
        { name: 'live', component: 'live', options: { channel: 'tickets' } },
        { name: 'vectors', component: 'vectors', options: { collection: 'c', vector: 'meaning' } },
        { name: 'live', component: 'live.2', options: { channel: 'other', fields: ['a'] } },
      ],
      block: { events: 5, bytes: 1_000, ageMs: 250 },
      tests: [
        {
          name: 'nothing',
          given: [{ value: { body: 'x' } }, { key: 'k', value: null }],
          expect: { 'live.tickets': [], dlq: [] },
        },
      ],
      text: valid,
      file: 'p.yaml',
    })
  })

  test('needs little: a source and a sink; lists and names are short forms', async () => {
    const { spec, problems } = await parse('name: a\nsource:\n  files: [a, b]\nsinks: [live: x]\n')
    expect(problems).toEqual([])
    expect(spec?.source).toEqual({
      kind: 'intake',
      use: { name: 'files', component: 'files', options: { include: ['a', 'b'] } },
    })
    expect(spec?.block).toEqual({ events: 10_000, bytes: 8_000_000, ageMs: 1_000 })
  })

  test('a key with nothing behind it counts as left out', async () => {
    const { spec, problems } = await parse('name: a\nsource: { topic: x }\nprocessors:\nsinks: [live: x]\ntests:\n')
    expect(problems).toEqual([])
    expect(spec).toMatchObject({ processors: [], tests: [] })
    const nothing = await parse('name:\nsource:\nsinks:\n')
    expect(nothing.problems.map((p) => `${p.line}:${p.column} ${p.message}`)).toEqual([
      '1:1 "name" is missing',
      '2:1 "source" is missing',
      '3:1 "sinks" is missing',
    ])
  })

  test('several topics, and anchors with merges', async () => {
    const { spec, problems } = await parse(`name: a
source: { topic: [x, y], group: g }
processors:
  - embed: &e { text: value.body, as: one }
  - embed: { <<: *e, as: two }
sinks: [{ vectors: { collection: c, vector: two } }]
`)
    expect(problems).toEqual([])
    expect(spec?.source).toEqual({ kind: 'topics', topics: ['x', 'y'], start: 'earliest', group: 'g' })
    expect(spec?.processors[1]?.options).toEqual({ text: 'value.body', as: 'two' })
  })
})

/** Each replaces a piece of the valid pipeline; the problem must be at `line:column` with `length`. */
const mistakes: [what: string, from: string, to: string, place: string, code: string, message: RegExp][] = [
  ['misspelt top key', 'processors:', 'procesors:', '6:1+9', 'unknown_key', /"procesors", did you mean "processors"\?/],
  ['missing name', 'name: tickets\n', '', '1:1+6', 'missing_option', /"name" is missing/],
  ['bad name', 'name: tickets', 'name: Tick ets', '1:7+8', 'bad_value', /lower-case/],
  ['name of wrong type', 'name: tickets', 'name: 5', '1:7+1', 'wrong_type', /expected text, got 5/],
  ['misspelt source key', 'start:', 'strat:', '4:3+5', 'unknown_key', /"strat", did you mean "start"/],
  [
    'bad start',
    'start: latest',
    'start: lastest',
    '4:10+7',
    'bad_value',
    /"earliest" or "latest".*"lastest".*"latest"\?/,
  ],
  ['unknown source', 'topic: support.tickets\n  start: latest', 'filez: x', '3:3+5', 'unknown_source', /"files"\?/],
  ['bad topic', 'support.tickets', 'support tickets', '3:10+15', 'bad_value', /topic name/],
  ['unknown processor', 'embed:', 'embd:', '8:5+4', 'unknown_processor', /"embd", did you mean "embed"/],
  ['processor among sinks', '- live: tickets', '- filter: x', '13:5+6', 'unknown_sink', /unknown sink "filter"/],
  ['misspelt option', 'timeout:', 'timeuot:', '8:32+7', 'unknown_key', /embed: .*"timeuot", did you mean "timeout"/],
  ['bad duration', '2s', 'soon', '8:41+4', 'bad_value', /embed: expected a duration/],
  ['number for text', 'text: value.body', 'text: 12', '8:20+2', 'wrong_type', /expected text, got 12/],
  ['text for number', 'timeout: 2s', 'batch: abc', '8:39+3', 'wrong_type', /expected a (whole )?number, got "abc"/],
  ['number too large', 'timeout: 2s', 'batch: 65', '8:39+2', 'bad_value', /at most 64, got 65/],
  ['missing option', 'text: value.body, timeout', 'timeout', '8:5+5', 'missing_option', /embed: the option "text"/],
  ['short form of wrong type', 'live: tickets', 'live: [1]', '13:5+4', 'wrong_type', /expected text, got a list/],
  ['no options', 'live: tickets', 'live:', '13:5+4', 'missing_option', /live: the option "channel"/],
  [
    'options not indented',
    'map:\n      a: value.subject',
    'map:\n    a: value.subject',
    '10:5+1',
    'several_components',
    /"a" stands/,
  ],
  ['component as number', '- filter: value.body', '- 5', '7:5+1', 'wrong_type', /expected a processor/],
  ['no sinks', 'sinks:[\\s\\S]*(?=block)', 'sinks: []\n', '12:1+5', 'bad_value', /at least one/],
  ['unknown field', 'fields: [a]', 'fields: [b]', '15:38+1', 'unknown_field', /no event has a field "b"/],
  [
    'unknown vector',
    'vector: meaning',
    'vector: meanin',
    '14:39+6',
    'unknown_vector',
    /"meanin".*did you mean "meaning"/,
  ],
  ['bad expression, plain', 'filter: value.body', 'filter: value.bdy', '7:19+3', 'bad_expression', /no field "bdy"/],
  ['bad expression, single quotes', 'filter: value.body', "filter: '''! x'", '7:16+1', 'bad_expression', /"!"/],
  ['bad expression, double quotes', 'filter: value.body', 'filter: "\\n\\u0041!"', '7:22+1', 'bad_expression', /"!"/],
  [
    'bad expression, literal',
    'filter: value.body',
    'filter: |\n      a\n\n       b !',
    '10:10+1',
    'bad_expression',
    /"!"/,
  ],
  ['bad expression, folded', 'filter: value.body', 'filter: >\n      a\n      b !', '7:13+1', 'bad_expression', /"!"/],
  ['bad expression in map', 'a: value.subject', 'a: value.nope', '10:16+4', 'bad_expression', /no field "nope"/],
  ['bad id', 'id: value.customer', 'id: value.customr', '5:11+7', 'bad_expression', /no field "customr"/],
  ['field gone after map', 'filter: value.a', 'filter: value.body', '11:19+4', 'bad_expression', /no field "body"/],
  ['bad block', 'age: 250ms', 'age: fast', '16:26+4', 'bad_value', /duration/],
  ['misspelt in tests', 'given:', 'give:', '19:5+4', 'unknown_key', /"give", did you mean "given"/],
  ['missing value', '{ value: { body: x } }', '{ key: x }', '19:15+3', 'missing_option', /"value" is missing/],
  [
    'unknown output',
    'live.tickets:',
    'live.ticket:',
    '20:15+11',
    'unknown_output',
    /"live.ticket", did you mean "live.tickets"/,
  ],
  ['duplicate key', 'start: latest', 'topic: b', '4:3+1', 'duplicate_key', /twice/],
  ['tab', '  - filter: value.body', '\t- filter: value.body', '7:1+1', 'yaml_syntax', /tab/],
  ['ternary', 'filter: value.body', 'filter: value.a ? b : c', '7:13+1', 'yaml_syntax', /": " inside/],
  ['unclosed bracket', 'fields: [a] }', 'fields: [a }', '15:40+1', 'yaml_syntax', /not closed with "\]"/],
  ['tag', 'name: tickets', 'name: !!js/function x', '1:7+13', 'yaml_syntax', /tag/],
  ['alias to nothing', 'live: tickets', 'live: *t', '13:11+2', 'yaml_syntax', /no anchor &t/],
  ['second document', 'tests:', '---\ntests:', '17:1+3', 'yaml_syntax', /one document/],
]

describe('mistakes', () => {
  test.each(mistakes)('%s', async (_what, from, to, place, code, message) => {
    const pattern = from.startsWith('sinks:[') ? new RegExp(from) : from
    const text = valid.replace(pattern, () => to)
    expect(text).not.toBe(valid)
    const { spec, problems } = await parse(text)
    expect(spec).toBeUndefined()
    const shown = problems.map((p) => `${p.line}:${p.column}+${p.length} ${p.code}`)
    expect(shown, JSON.stringify(problems, null, 1)).toContain(`${place} ${code}`)
    expect(problems.find((p) => p.code === code)?.message).toMatch(message)
  })

  test('all at once, in the order of the file', async () => {
    const { problems } = await parse(
      valid.replace('start', 'strat').replace('timeout', 'timeuot').replace('age', 'aeg'),
    )
    expect(problems.map((p) => [p.line, p.code])).toEqual([
      [4, 'unknown_key'],
      [8, 'unknown_key'],
      [16, 'unknown_key'],
    ])
  })

  test('one mistake is one problem: the key that was meant is not missed as well', async () => {
    const { problems } = await parse(valid.replace('sinks:', 'snks:').replace('given:', 'give:'))
    expect(problems.map((p) => `${p.line} ${p.code}`)).toEqual(['12 unknown_key', '19 unknown_key'])
  })

  test.each([
    ['', 'empty_file'],
    ['# nothing\n', 'empty_file'],
    ['hello', 'wrong_type'],
    ['- a', 'wrong_type'],
  ])('no pipeline at all: %j', async (text, code) => {
    const { problems } = await parse(text)
    expect(problems.map((p) => p.code)).toEqual([code])
  })
})

describe('bounds', () => {
  test('a bomb of aliases is refused at once', async () => {
    const levels = Array.from({ length: 30 }, (_, n) => `k${n}: &a${n} [${n === 0 ? '1' : `*a${n - 1}, *a${n - 1}`}]`)
    const { problems } = await parse(levels.join('\n'))
    expect(problems.map((p) => p.code)).toEqual(['file_too_large'])
  })

  test('an alias inside its own anchor, deep nesting and a huge file are refused', async () => {
    expect((await parse('name: &a [*a]')).problems[0]?.message).toContain('inside the value')
    expect((await parse(`name: ${'['.repeat(5_000)}`)).spec).toBeUndefined()
    expect((await parse(`# ${'x'.repeat(1_000_001)}`)).problems[0]?.code).toBe('file_too_large')
  })

  test('keys that mean something to JavaScript are plain keys', async () => {
    const { problems } = await parse(valid.replace('      a: value.subject', '      __proto__: value.subject'))
    expect(problems.map((p) => p.code)).toEqual(['bad_expression', 'unknown_field'])
    expect((await parse(`${valid}__proto__: { x: 1 }\n`)).problems[0]).toMatchObject({ code: 'unknown_key', line: 21 })
  })
})

test('a problem is shown with its line and a caret', async () => {
  const text = valid.replace('timeout', 'timeuot')
  const { problems } = await parse(text)
  const [problem] = problems
  expect(problem && formatProblem(problem, text)).toBe(
    [
      'error[unknown_key]: embed: unknown key "timeuot", did you mean "timeout"?',
      ' --> p.yaml:8:32',
      '  |',
      '8 |   - embed: { text: value.body, timeuot: 2s }',
      '  |                                ^^^^^^^',
    ].join('\n'),
  )
})
