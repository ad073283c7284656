import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type BlockSink, defineIntake, defineProcessor, type EventSink } from '../../src/core/component.ts'
import { Fatal, Retryable } from '../../src/core/errors.ts'
import type { Json } from '../../src/core/event.ts'
import type { PipelineSpec } from '../../src/core/pipeline.ts'
import { Pipeline } from '../../src/engine/pipeline.ts'
import { Supervisor } from '../../src/engine/supervisor.ts'
import { leaseMs, limits, sinkOf, specOf, Table, until, use, World } from './world.ts'

const down = new Retryable({ code: 'down', message: 'the store is down' })

const numbers = defineIntake({
  kind: 'source',
  name: 'numbers',
  summary: 'three numbers',
  example: 'numbers: {}',
  options: z.unknown(),
  create: () => ({
    run: async ({ append }) => {
      await append([0, 1, 2].map((n) => ({ key: null, value: Buffer.from(String(n)) })))
    },
  }),
})

describe('Pipeline', () => {
  it('fails with the reason when a sink fails for good after the intake has ended', async () => {
    const sink: BlockSink = {
      takes: 'blocks',
      write: async () => {
        await new Promise((resolve) => setTimeout(resolve, 50))
        throw new Fatal({ code: 'unknown_table', message: 'the table is gone' })
      },
    }
    await using world = await World.open(numbers, sinkOf('broken', sink))
    const spec = specOf({ source: { kind: 'intake', use: use('numbers') }, sinks: [use('broken')] })
    const pipeline = new Pipeline(spec, world.context)
    pipeline.start()
    await until(() => pipeline.state === 'failed')
    expect(pipeline.reason).toContain('the table is gone')
  })

  it('fails when one of its processors has a mistake, and says which', async () => {
    const broken = defineProcessor({
      kind: 'processor',
      name: 'broken',
      summary: 'broken',
      example: 'broken: {}',
      options: z.unknown(),
      create: () => ({
        process: () => {
          throw new TypeError('it is undefined')
        },
      }),
    })
    await using world = await World.open(broken, sinkOf('table', new Table()))
    const pipeline = new Pipeline(specOf({ processors: [use('broken')], sinks: [use('table')] }), world.context)
    await world.log.ensureTopic('in')
    await world.log.append('in', [{ key: null, value: Buffer.from('1') }])
    pipeline.start()
    await until(() => pipeline.state === 'failed')
    expect(pipeline.reason).toBe('broken failed: it is undefined')
  })

  it('leaves nothing at work in one sink when another one fails for good', async () => {
    let working = 0
    const slow: BlockSink = {
      takes: 'blocks',
      write: async () => {
        working++
        await new Promise((resolve) => setTimeout(resolve, 100))
        working--
        return []
      },
    }
    const broken: BlockSink = {
      takes: 'blocks',
      write: async () => {
        throw new Fatal({ code: 'broken', message: 'broken' })
      },
    }
    await using world = await World.open(sinkOf('slow', slow), sinkOf('broken', broken))
    const pipeline = new Pipeline(specOf({ sinks: [use('slow'), use('broken')] }), world.context)
    await world.log.ensureTopic('in')
    await world.log.append('in', [{ key: null, value: Buffer.from('1') }])
    pipeline.start()
    await pipeline.ended()
    expect(pipeline.state).toBe('failed')
    expect(working).toBe(0)
  })

  it('begins a partition that it lost and got back only when nothing of it is at work any more', async () => {
    let working = 0
    let most = 0
    const seen: Json[] = []
    const sink: EventSink = {
      takes: 'events',
      write: async (events) => {
        most = Math.max(most, ++working)
        if (seen.length === 0) {
          // The process stands still for longer than its lease, in the midst of a write that goes on afterwards.
          for (const until = performance.now() + leaseMs; performance.now() < until; );
          await new Promise((resolve) => setTimeout(resolve, 1_000))
        }
        seen.push(...events.map(({ value }) => value))
        working--
        return []
      },
    }
    await using world = await World.open(sinkOf('sink', sink))
    const pipeline = new Pipeline(specOf({ sinks: [use('sink')] }), world.context)
    await world.log.ensureTopic('in')
    await world.log.append('in', [{ key: null, value: Buffer.from('1') }])
    pipeline.start()
    await pipeline.drained()
    await pipeline.stop()
    expect(seen).toEqual([1, 1])
    expect(most).toBe(1)
  })

  it('writes every event once, whatever crashes, stops, is replaced, refuses or is down', async () => {
    const life = fc.record({
      publish: fc.array(fc.constantFrom('good', 'good', 'good', 'double', 'bad', 'refused', 'list'), { maxLength: 40 }),
      block: fc.record({ events: fc.integer({ min: 1, max: 30 }), ageMs: fc.constantFrom(0, 1, 20) }),
      downOneIn: fc.constantFrom(0, 0, 1, 2, 5),
      ending: fc.constantFrom('crash', 'stop', 'pause', 'replace'),
      afterMs: fc.integer({ min: 0, max: 30 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 6 }), async (lives) => {
        const table = new Table()
        table.rejects = (value) => Object(value).kind === 'refused'
        await using world = await World.open(sinkOf('table', table))
        const spec = (block: { events: number; ageMs: number }): PipelineSpec =>
          specOf({
            processors: [use('dedupe', { by: 'value.n' }), use('flatten', { list: 'value.parts', as: 'part' })],
            sinks: [use('table'), use('live', { channel: 'out' }), use('topic', { topic: 'copy' })],
            block: limits(block),
          })
        const supervise = () =>
          new Supervisor({
            context: world.context,
            parse: async (text) => spec(JSON.parse(text)),
            keep: async () => {},
            patienceMs: 50,
          })
        await world.log.ensureTopic('in', { partitions: 2 })

        let supervisor = supervise()
        let next = 0
        const expected = { rows: [] as string[], all: [] as string[], dead: 0 }
        for (const { publish, block, downOneIn, ending, afterMs } of lives) {
          let turn = 0
          table.trouble = () => {
            if (downOneIn > 0 && ++turn % downOneIn === 0) throw down
          }
          await supervisor.put('p', JSON.stringify(block))
          await Promise.all(
            publish.map((kind) => {
              const n = next++
              const parts = kind === 'list' ? ['a', 'b', 'c'] : ['a']
              const text = kind === 'bad' ? '{' : JSON.stringify({ n, kind, parts })
              const names = parts.map((part) => `${n}${part}`)
              if (kind !== 'bad') expected.all.push(...names)
              if (kind !== 'bad' && kind !== 'refused') expected.rows.push(...names)
              if (kind === 'bad' || kind === 'refused') expected.dead++
              const record = { key: Buffer.from(String(n)), value: Buffer.from(text) }
              return world.log.append('in', kind === 'double' ? [record, record] : [record])
            }),
          )
          await new Promise((resolve) => setTimeout(resolve, afterMs))
          if (ending === 'replace') continue
          if (ending === 'pause') {
            await supervisor.pause('p')
            await supervisor.resume('p')
            continue
          }
          if (ending === 'stop') table.trouble = () => {}
          await supervisor.stop(ending === 'crash' ? AbortSignal.abort() : new AbortController().signal)
          supervisor = supervise()
        }
        table.trouble = () => {}
        await supervisor.put('p', JSON.stringify({ events: 7, ageMs: 1 }))
        await until(async () => {
          const { state, lag, lanes } = await supervisor.get('p')
          return state === 'running' && lanes.length === 2 && lag === 0
        })
        await supervisor.stop(new AbortController().signal)

        const name = (value: unknown) => `${Object(value).n}${Object(value).part}`
        const sorted = (names: readonly string[]) => names.toSorted()
        expect(sorted(table.rows.map(name))).toEqual(sorted(expected.rows))
        expect(sorted((await world.values('copy')).map(name))).toEqual(sorted(expected.all))
        const pushed = await world.live.read('out', 0, 100_000)
        expect(sorted(pushed.map(({ value }) => name(value)))).toEqual(sorted(expected.all))
        const [dead] = (await world.log.topics()).filter((topic) => topic.name === 'p.dlq')
        expect(dead?.partitions[0]?.records ?? 0).toBe(expected.dead)
      }),
      { numRuns: 30 },
    )
  })
})
