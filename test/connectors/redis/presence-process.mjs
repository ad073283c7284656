// Another process with a member on a channel; prints a line when it is there. Runs from the built code.
import { openRedis } from '../../../dist/connectors/redis/index.js'

const [url, prefix, channel, id, leaseMs] = process.argv.slice(2)
const { presence } = openRedis({ url, prefix }, { presence: { leaseMs: Number(leaseMs) } })
presence.count(channel, 3)
await presence.join(channel, { id, user: id, state: null, since: 1 })
process.stdout.write('there\n')
setInterval(() => {}, 1_000)
