import { startClickHouseHttp } from '../services/clickhouse-http.ts'

/** A ClickHouse test server in a process of its own: its port (0 for a free one) and its folder are the arguments. */
const [port = '0', folder] = process.argv.slice(2)
const server = await startClickHouseHttp({ port: Number(port), folder })
process.once('SIGTERM', () => void server.stop().then(() => process.exit(0)))
// Its standard input ends with the process that started it.
process.stdin.resume().once('end', () => process.exit(1))
process.stdout.write(`${server.url}\n`)
