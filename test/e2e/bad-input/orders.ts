import { expect } from 'vitest'
import { startCli } from '../../support/cli.ts'
import { column, eventually, pipelineStatus, plainPipeline, project, publish } from './support.ts'

const schema = {
  type: 'object',
  properties: { n: { type: 'integer' }, customer: { type: 'string' } },
  required: ['n'],
  additionalProperties: false,
}

/** A server whose pipeline `orders` must get every order that is published here, whatever else happens, and no other. */
export async function startOrders(files: Readonly<Record<string, string>> = {}) {
  const folder = await project({
    'pipelines/orders.yaml': plainPipeline('orders', { n: 'UInt32' }),
    'schemas/orders.schema.json': JSON.stringify(schema),
    ...files,
  })
  const server = await startCli(['run'], { cwd: folder.path })
  const { address } = server
  let published = 0
  const order = async () => {
    const n = published++
    await publish(address, 'orders', { n })
    return n
  }
  return {
    address,
    folder: folder.path,
    /** Publishes a good order; answers its number. */
    publish: order,
    /** Publishes a good order before and after the incident. */
    async around<T>(incident: () => Promise<T>): Promise<T> {
      await order()
      const result = await incident()
      await order()
      return result
    },
    /** That all good orders, and none of the bad ones, are in ClickHouse. */
    async expectAll(): Promise<void> {
      const expected = Array.from({ length: published }, (_, n) => n)
      await eventually(async () => expect(await column(address, 'orders', 'n')).toEqual(expected))
      expect(await pipelineStatus(address, 'orders')).toMatchObject({ state: 'running' })
    },
    /** What the server's log says but that all is well. */
    warnings: () =>
      server
        .stderr()
        .split('\n')
        .filter((line) => line !== '' && !/ INFO /.test(line)),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}
