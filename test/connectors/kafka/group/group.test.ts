import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Fenced } from '../../../../src/core/errors.ts'
import { findService } from '../../../services/services.ts'
import { Client, eventually, FakeStateStore, Rig, settingsFor, take } from './rig.ts'

const address = await findService('kafka')

describe.skipIf(address === undefined)('members of a group', () => {
  const settings = settingsFor(address ?? '')
  let client: Client
  let rigs: Rig[] = []

  beforeAll(async () => {
    client = await Client.open(address ?? '')
  })
  afterAll(() => client.close())
  afterEach(async () => {
    await Promise.all(rigs.map((rig) => rig.close()))
    rigs = []
  })

  async function open(store?: FakeStateStore): Promise<Rig> {
    const rig = await Rig.open(settings, store)
    rigs.push(rig)
    return rig
  }

  test('a lane that is leaving finishes and commits, and its successor goes on exactly there', async () => {
    const [topic, group] = [await client.topic(2), `g-${randomUUID()}`]
    for (const partition of [0, 1]) await client.send(topic, ['a', 'b', 'c'], partition)
    const store = new FakeStateStore()
    const first = (await open(store)).join({ topics: [topic], group })
    const lanes = await first.holds(2)
    for (const lane of lanes) expect(await take(lane, 2)).toEqual(['a', 'b'])
    const second = (await open(store)).join({ topics: [topic], group })
    await eventually(() => lanes.some(({ leaving }) => leaving.aborted), 'a lane to be wanted elsewhere')
    const leaver = lanes.find(({ leaving }) => leaving.aborted)
    const stayer = lanes.find(({ leaving }) => !leaving.aborted)
    leaver?.assertOwned()
    await leaver?.commit({ from: 2, ends: [] }, [{ key: 'seen', value: 2 }])
    await leaver?.release()
    const successor = await second.lane()
    expect(successor.partition).toEqual(leaver?.partition)
    expect(successor.committed).toEqual({ from: 2, ends: [] })
    expect(await successor.state.get(['seen'])).toEqual([2])
    expect(await take(successor, 1)).toEqual(['c'])
    await expect(leaver?.commit({ from: 3, ends: [] })).rejects.toBeInstanceOf(Fenced)
    expect(stayer?.leaving.aborted).toBe(false)
    expect(stayer?.revoked.aborted).toBe(false)
    await stayer?.commit({ from: 2, ends: [] })
  })
})
