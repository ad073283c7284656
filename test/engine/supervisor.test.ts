import { describe, expect, it } from 'vitest'
import type { BlockSink } from '../../src/core/component.ts'
import { Retryable } from '../../src/core/errors.ts'
import { Supervisor } from '../../src/engine/supervisor.ts'
import { sinkOf, specOf, Table, until, use, World } from './world.ts'

const never = new AbortController().signal

function supervise(world: World, sink: string): Supervisor {
  const parse = async () => specOf({ sinks: [use(sink)] })
  return new Supervisor({ context: world.context, parse, keep: async () => {}, patienceMs: 50 })
}

function deadTable(): Table {
  const table = new Table()
  table.trouble = () => {
    throw new Retryable({ code: 'down', message: 'the store is down' })
  }
  return table
}

describe('Supervisor', () => {
  it('pauses, replaces and removes a pipeline whose store is down, and loses nothing by it', async () => {
    const table = deadTable()
    await using world = await World.open(sinkOf('table', table))
    await world.log.ensureTopic('in')
    await world.log.append('in', [{ key: null, value: Buffer.from('1') }])
    const supervisor = supervise(world, 'table')
    await supervisor.put('p', '')
    const isDegraded = async () => (await supervisor.get('p')).state === 'degraded'
    await until(isDegraded)
    expect((await supervisor.pause('p')).state).toBe('paused')
    await supervisor.resume('p')
    await until(isDegraded)
    await supervisor.put('p', '')
    await until(isDegraded)
    await supervisor.remove('p')
    expect(await supervisor.list()).toEqual([])

    // One of the same name goes on where it was.
    table.trouble = () => {}
    await supervisor.put('p', '')
    await until(() => table.rows.length > 0)
    await supervisor.stop(never)
    expect(table.rows).toEqual([1])
  })

  it('starts nothing any more once it stops', async () => {
    const sink: BlockSink = { takes: 'blocks', write: async () => [] }
    await using world = await World.open(sinkOf('sink', sink))
    const supervisor = supervise(world, 'sink')
    await supervisor.put('p', '')
    const stopping = supervisor.stop(never)
    await expect(supervisor.put('p', '')).rejects.toMatchObject({ code: 'stopping' })
    await stopping
    expect((await supervisor.get('p')).state).toBe('paused')
  })

  it('drops everything at once when the signal has fired already', async () => {
    await using world = await World.open(sinkOf('table', deadTable()))
    const supervisor = supervise(world, 'table')
    await supervisor.put('p', '')
    await until(async () => (await supervisor.get('p')).state === 'running')
    await world.log.append('in', [{ key: null, value: Buffer.from('1') }])
    await until(async () => (await supervisor.get('p')).state === 'degraded')
    await supervisor.stop(AbortSignal.abort())
    expect((await supervisor.get('p')).state).toBe('paused')
  })
})
