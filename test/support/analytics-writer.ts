import { openAnalytics } from '../../connectors/clickhouse/index.ts'

/** Inserts the blocks of 100 rows from a number on, saying so before and after each, until it is killed. */
const [folder = '', first = '0'] = process.argv.slice(2)
const analytics = await openAnalytics({ embedded: folder })
const columns = [{ name: 'n', type: 'UInt64' }]
await analytics.ensureTable({ name: 'rows', mode: 'append', columns, partitionBy: 'n % 2' })
for (let block = Number(first); ; block += 1) {
  const rows = Array.from({ length: 100 }, (_, at) => ({ n: block * 100 + at }))
  await analytics.insert('rows', rows, `block ${block}`)
  process.stdout.write(`${block}\n`)
}
