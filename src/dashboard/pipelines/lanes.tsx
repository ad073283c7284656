import type { Lane } from '../api.ts'
import { formatCount } from '../format.ts'

export function Lanes({ lanes }: { readonly lanes: readonly Lane[] }) {
  return (
    <div class="detail scroll-x">
      <table>
        <thead>
          <tr>
            <th scope="col">Partition</th>
            <th scope="col">Committed</th>
            <th scope="col">End</th>
            <th scope="col">Lag</th>
          </tr>
        </thead>
        <tbody>
          {lanes.map(({ topic, partition, committed, end, lag }) => (
            <tr key={`${topic}/${partition}`}>
              <td>
                {topic}/{partition}
              </td>
              <td>{formatCount(committed)}</td>
              <td>{formatCount(end)}</td>
              <td>{formatCount(lag)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
