import { startClickHouseHttp } from '../services/clickhouse-http.ts'

/** A ClickHouse test server in a process of its own: its port (0 for a free one) and its folder are the arguments. */
const [port = '0', folder] = process.argv.slice(2)
const server = await startClickHouseHttp({ port: Number(port), folder })
process.once('SIGTERM', () => void server.stop().then(() => process.exit(0)))
process.stdout.write(`${server.url}\n`)
