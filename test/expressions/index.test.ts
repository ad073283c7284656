import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Json } from '../../src/core/event.ts'
import type { ExpressionType, Scope } from '../../src/core/expression.ts'
import type { Shape } from '../../src/core/shape.ts'
import { direct } from '../../src/expressions/direct.ts'
import { createEnvironment } from '../../src/expressions/environment.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { plain } from '../../src/expressions/plain.ts'

const expressions = createExpressions()
const value: Json = {
  n: 3,
  big: 150.5,
  body: 'Hello there',
  empty: '',
  nothing: null,
  customer: { id: 'c1', address: { city: 'Ulm' } },
  items: [1, 2, 3],
  tags: ['a', 'b'],
  flag: true,
  'odd-name': 1,
  json: '{"a":[1,2]}',
}
const scope: Scope = {
  value,
  key: 'k1',
  headers: { source: 'web', 'content-type': 'text/plain' },
  timestamp: 1_700_000_000_000,
  position: { topic: 'tickets', partition: 2, offset: 41 },
}

function any(text: string): Json {
  return expressions.compile(text, 'any')(scope)
}

function failure(text: string, returns: 'any' | 'string' | 'bool' = 'any', of: Scope = scope): unknown {
  const run = returns === 'any' ? expressions.compile(text, 'any') : compileAs(text, returns)
  try {
    run(of)
  } catch (error) {
    return error
  }
  throw new Error(`${text} did not fail`)
}

function compileAs(text: string, returns: 'string' | 'bool') {
  return returns === 'string' ? expressions.compile(text, 'string') : expressions.compile(text, 'bool')
}

describe('results', () => {
  it.each<[string, Json]>([
    ['value.n', 3],
    ['value.customer.address.city', 'Ulm'],
    ['value["odd-name"]', 1],
    ['headers["content-type"]', 'text/plain'],
    ['value.nothing', null],
    ['key', 'k1'],
    ['timestamp', 1_700_000_000_000],
    ['[topic, partition, offset]', ['tickets', 2, 41]],
    ['{"id": value.customer.id, "list": [1, 2.5, "x", null, true]}', { id: 'c1', list: [1, 2.5, 'x', null, true] }],
    ['{"double": value.n * 2, "deep": [[size(value.items)]]}', { double: 6, deep: [[3]] }],
    ['value.n * 2', 6],
    ['value.n / 2', 1.5],
    ['value.n % 2', 1],
    ['size(value.items) * 1.5', 4.5],
    ['1 + 2.5', 3.5],
    ['7 / 2', 3],
    ['timestamp + 1', 1_700_000_000_001],
    ['partition == 2 && 2 == partition', true],
    ['size(value.items) == 3.0 && value.n == 3 && 3 == value.n', true],
    ['1 < 2.5 && value.n >= 3 && 2 <= value.n', true],
    ['value.n in [1, 2, 3] && 3 in value.items', true],
    ['value.items.map(i, i * 2)', [2, 4, 6]],
    ['value.items.filter(i, i > 1)', [2, 3]],
    ['value.items.exists(i, i == 2)', true],
    ['value.items[0]', 1],
    ['value.n > 1 ? "big" : "small"', 'big'],
    ['value.n > 1 ? 1 : 2.5', 1],
    ['has(value.nope) ? value.nope : null', null],
    ['value.n > 5 ? "big" : value.n > 2 ? 2 : null', 2],
    ['has(value.customer.address.city)', true],
    ['has(value.nope.address.city)', false],
    ['has(value.customer.nope.city)', false],
    ['has(value.body.x)', false],
    ['has(value.nothing.x)', false],
    ['has(value.nothing)', true],
    ['has(headers.source) && !has(headers.nope)', true],
    ['[{"a": {"b": 1}}, {}].map(i, has(i.a.b))', [true, false]],
    ['value.?customer.?id.orValue("none")', 'c1'],
    ['value.?customer.?nope.orValue("none")', 'none'],
    ['value.?nope', null],
    ['value.body.lower() + value.body.upper()', 'hello thereHELLO THERE'],
    ['value.body.replace("e", "$&")', 'H$&llo th$&r$&'],
    ['value.body.split(" ")', ['Hello', 'there']],
    ['value.body.split(" ")[1]', 'there'],
    ['value.tags.join("-")', 'a-b'],
    ['value.items.map(i, string(i)).join(", ")', '1, 2, 3'],
    ['value.body.substring(0, 4).trim()', 'Hell'],
    ['value.body.startsWith("Hell") && value.body.contains("the")', true],
    ['value.body.matches("^h.l+o") || value.body.matches("(?i)^h.l+o")', true],
    ['value.tags.filter(tag, tag.matches(value.tags[1]))', ['b']],
    ['[size("añ👍"), "👍👍a".size(), size(value.body), value.tags.size(), size(value.customer)]', [3, 3, 11, 2, 2]],
    ['[size(b"abc"), value.tags.map(tag, size(tag)).size()]', [3, 2]],
    [
      '[round(2.5), round(-2.5), round(1.005, 2), round(7), round(1234, -2), round(value.big)]',
      [3, -3, 1.01, 7, 1200, 151],
    ],
    ['[floor(1.7), ceil(1.2), abs(-3), abs(-value.n)]', [1, 2, 3, 3]],
    ['[min(1, 2.5), max(value.n, 7)]', [1, 7]],
    ['sum(value.items) + sum([1, 2.5])', 9.5],
    ['hash("hello")', '2cf24dba5fb0a30e'],
    ['parseJson(value.json).a[1]', 2],
    ['toJson({"a": [1, value.n]})', '{"a":[1,3]}'],
    ['isoTime(timestamp)', '2023-11-14T22:13:20.000Z'],
    ['parseTime("2023-11-14T22:13:20Z")', 1_700_000_000_000],
    ['parseTime("2023-11-14 22:13:20")', 1_700_000_000_000],
    ['parseTime("2023-11-14T23:13:20+01:00")', 1_700_000_000_000],
    ['timestamp("2023-11-14T22:13:20Z")', '2023-11-14T22:13:20.000Z'],
    ['duration("1.5s")', 1500],
    ['int("42")', 42],
    ['string(value.n) + " of " + string(1)', '3 of 1'],
    ['cel.bind(x, value.n + 1, x * x)', 16],
    ['key == null', false],
    ['type(value.body) == string', true],
  ])('%s', (text, expected) => {
    expect(any(text)).toEqual(expected)
  })

  it('are of the type that was asked for', () => {
    expect(expressions.compile('value.n', 'string')(scope)).toBe('3')
    expect(expressions.compile('value.items', 'list')(scope)).toEqual([1, 2, 3])
    expect(expressions.compile('value.n + 1', 'number')(scope)).toBe(4)
    expect(expressions.compile('value.flag', 'bool')(scope)).toBe(true)
  })
})

describe('failures at run time', () => {
  it.each<[string, string]>([
    ['value.custmer.id', 'value has no field "custmer": it is an object with n, big, body'],
    ['value.customer.name', 'value.customer has no field "name": it is an object with id, address'],
    ['value.body.x', 'value.body has no field "x": it is the text "Hello there"'],
    ['value.nope + 1', 'value has no field "nope"'],
    ['{"a": value.n, "b": value.nope}', 'value has no field "nope"'],
    ['value.n + "a"', 'there is no operation number + string; turn the number into text with string(…)'],
    ['size(value.n)', 'size(number)'],
    ['value.items[7]', 'index 7 >= size 3'],
    ['1.0 / 0.0', 'not a number that JSON can hold'],
    ['int("9007199254740993")', 'too large for a JSON number'],
    ['1 / 0', 'division by zero'],
    ['parseJson(value.body)', 'parseJson:'],
    ['value.body.matches(value.tags[0] + "(")', 'the pattern is not valid'],
  ])('%s', (text, reason) => {
    expect(failure(text)).toMatchObject({
      code: 'expression_failed',
      message: expect.stringContaining(reason) as unknown,
    })
    expect(failure(text)).toMatchObject({ message: expect.stringContaining(`\`${text}\``) as unknown })
  })

  it('say when a result has the wrong type', () => {
    expect(failure('value.n', 'bool')).toMatchObject({
      message: 'The expression `value.n` failed: the result is 3, but true or false is needed here.',
    })
    expect(failure('value.items', 'string')).toMatchObject({
      message: expect.stringContaining('a list of 3') as unknown,
    })
  })

  it('never take what an object inherits for a field', () => {
    for (const name of ['constructor', 'toString', '__proto__'])
      expect(failure(`value["${name}"]`)).toMatchObject({ code: 'expression_failed' })
  })
})

describe('check', () => {
  const known: Shape = { fields: new Set(['subject', 'body', 'n']), vectors: new Set() }
  const open: Shape = { fields: undefined, vectors: new Set() }
  it.each<[string, ExpressionType, Shape, number, string]>([
    ['value.n +', 'any', open, 9, 'the expression ends too early'],
    ['value.n ~ 2', 'any', open, 8, 'Unexpected character: ~'],
    ['"a" + 1', 'any', open, 0, 'there is no operation string + number; turn the number into text with string(…)'],
    ['size(value.n) + 1', 'bool', open, 0, 'this is a number, but true or false is needed here'],
    ['value.n > 1', 'string', open, 0, 'this is true or false, but a text is needed here'],
    ['"a"', 'list', open, 0, 'this is a text, but a list is needed here'],
    ['1 < 2 && valu.x > 1', 'any', open, 9, 'unknown name "valu", did you mean "value"?'],
    ['subject + "x"', 'any', known, 0, 'unknown name "subject", did you mean value.subject?'],
    ['"x" + value.subjct', 'any', known, 12, 'no field "subjct" in value, did you mean "subject"?'],
    ['has(value.bdy)', 'bool', known, 10, 'no field "bdy" in value, did you mean "body"?'],
    ['value["zzzzzz"]', 'any', known, 0, 'no field "zzzzzz" in value; there is subject, body, n'],
    ['value.body.lowr()', 'any', open, 0, 'unknown function "lowr", did you mean "lower"?'],
    ['now()', 'any', open, 0, 'unknown function "now"'],
    ['value.n > 1 ? 1 : valu', 'any', open, 18, 'unknown name "valu"'],
    ['', 'any', open, 0, 'the expression ends too early'],
    ['key.matches("(a")', 'bool', open, 12, 'the pattern is not valid: a ) is missing'],
    ['"a".matches(1)', 'bool', open, 0, 'there is no function string.matches(number)'],
  ])('%s', (text, returns, shape, at, message) => {
    const [problem, ...others] = expressions.check(text, returns, shape)
    expect(problem?.message).toContain(message)
    expect(problem?.at).toBe(at)
    expect(others).toEqual([])
  })

  it.each<[string, ExpressionType]>([
    ['has(value.body) && size(value.body) > 0', 'bool'],
    ['value.subject + "\\n" + value.body', 'string'],
    ['value.n', 'bool'],
    ['size(value.body)', 'string'],
    ['value.n > 1 ? [1] : value.body', 'list'],
    ['parseJson(value.body).map(value, value.nope)', 'list'],
    ['[{"a": 1}].filter(item, item.a > 0)', 'list'],
    ['cel.bind(x, 1, x + 1)', 'number'],
    ['value', 'any'],
  ])('accepts %s', (text, returns) => {
    expect(expressions.check(text, returns, known)).toEqual([])
  })

  it('reports every wrong name', () => {
    expect(expressions.check('value.a + value.b + nam', 'any', known)).toHaveLength(3)
  })

  it('is what compile throws', () => {
    expect(() => expressions.compile('1 +', 'any')).toThrow(
      'The expression `1 +` is not valid at character 4: the expression ends too early.',
    )
  })
})

describe('the direct path', () => {
  const environment = createEnvironment({ left: Number.POSITIVE_INFINITY })
  const name = fc.constantFrom('a', 'b', 'c')
  const document = fc.letrec<{ node: Json }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 4 },
      fc.constant(null),
      fc.boolean(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.string(),
      fc.array(tie('node'), { maxLength: 3 }),
      fc.dictionary(name, tie('node'), { noNullPrototype: true }),
    ),
  })).node
  const path = fc.array(name, { maxLength: 4 }).map((names) => ['value', ...names].join('.'))
  const leaf = fc.oneof(
    path,
    fc.constantFrom('key', 'topic', 'offset', 'headers', '1', '2.5', '"x"', 'null', 'true', 'headers["a"]'),
  )
  const text = fc.oneof(
    leaf,
    fc.array(leaf, { maxLength: 3 }).map((items) => `[${items.join(', ')}]`),
    fc.tuple(leaf, leaf).map(([a, b]) => `{"p": ${a}, "q": {"r": ${b}}}`),
  )

  it('agrees with the evaluator about every value', () => {
    fc.assert(
      fc.property(text, document, (expression, random) => {
        const run = environment.parse(expression)
        const read = direct(run.ast)
        if (read === undefined) throw new Error(`${expression} has no direct form`)
        const { topic, partition, offset } = scope.position
        const context = { ...scope, value: random, topic, partition, offset }
        let expected: Json | undefined
        try {
          expected = plain(run(context))
        } catch {
          expected = undefined
        }
        expect(read({ ...scope, value: random })).toEqual(expected)
      }),
      { numRuns: 2000 },
    )
  })
})

it('a replacement cannot grow without bound', () => {
  const long: Scope = { ...scope, value: { text: 'x'.repeat(20_000) } }
  expect(failure('value.text.replace("", value.text)', 'any', long)).toMatchObject({ code: 'expression_failed' })
})

describe('expressions from clients', () => {
  const strict = createExpressions({ bounded: true })

  it.each([
    'value.tags.exists(a, value.tags.exists(b, a == b))',
    'value.tags.map(a, value.items.filter(b, b > 1)).size() > 0',
    'value.tags.all(a, [1].map(b, b).size() == 1 && value.flag)',
    'cel.bind(a, value.tags + value.tags, cel.bind(b, a + a, b.size() > 1))',
    'value.tags.map(a, [a]).map(a, a + a).map(a, a + a).size() > 0',
  ])('have no macros that could cost more than the event is long: %s', (text) => {
    expect(expressions.check(text, 'bool', { fields: undefined, vectors: new Set() })).toEqual([])
    expect(() => strict.compile(text, 'bool')).toThrow(/must not stand within|only one/)
  })

  it.each([
    'value.tags.exists(t, value.text.contains(t))',
    'value.tags.exists(t, value.text.matches("a"))',
    'value.tags.exists(t, (t == "a" ? value.text : "").contains("b"))',
    'value.tags.exists(t, t in value.tags)',
    'value.tags.exists(t, value.tags == value.items)',
    'value.tags.exists(t, [value.tags] == [t])',
    'value.tags.exists(t, t + value.text == "")',
    'value.tags.exists(t, value.tags[0].contains("b"))',
    'value.tags.exists(t, size(value["text"]) > 3)',
  ])('do no work on the event for each item: %s', (text) => {
    expect(expressions.check(text, 'bool', { fields: undefined, vectors: new Set() })).toEqual([])
    expect(() => strict.compile(text, 'bool')).toThrow('can only be compared with the item')
  })

  it.each([
    'value.tags.exists(t, t == value.text || value.text < t || value.flag)',
    'value.tags.exists(t, t.contains("b") && [t].size() == 1 && has(value.text))',
    'value.items.exists(value, value.contains("b"))',
    'value.items.exists(i, i * value.n > 3 ? value.flag : !value.flag)',
  ])('may compare the item with fields: %s', (text) => {
    expect(() => strict.compile(text, 'bool')).not.toThrow()
  })

  it.each([
    ['+', (times: number) => `size(value.tags${' + value.tags'.repeat(times)}) > 0`],
    ['?:', (times: number) => Array.from({ length: times }, () => '(value.flag ? 1 : "a") == 1').join(' || ')],
  ])('have no more than some of what each time costs as much as all the others: %s', (operator, times) => {
    expect(() => strict.compile(times(20), 'bool')).not.toThrow()
    expect(() => strict.compile(times(21), 'bool')).toThrow(`"${operator}" may stand 20 times`)
  })

  it('fail where their patterns take too long on a text, each event anew', () => {
    const run = strict.compile('value.text.matches("(a|b|c)*d") || value.text.matches("(a|b)*c")', 'bool')
    const of = (length: number): Scope => ({ ...scope, value: { text: 'a'.repeat(length) } })
    for (let round = 0; round < 100; round++) expect(run(of(10_000))).toBe(false)
    expect(() => run(of(1_000_000))).toThrow('too long for its patterns')
    expect(expressions.compile('value.text.matches("(a|b)*c")', 'bool')(of(1_000_000))).toBe(false)
  })

  it.each(['value.items.map(i, i + 1).exists(i, i > 3)', 'value.tags.filter(t, t != "a").all(t, t.size() == 1)'])(
    'may have one after the other: %s',
    (text) => {
      expect(strict.compile(text, 'bool')(scope)).toBe(true)
    },
  )
})
