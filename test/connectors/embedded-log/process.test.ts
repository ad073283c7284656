import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { liveness, thisProcess } from '../../../connectors/embedded-log/process.ts'

describe('liveness', () => {
  it('of this process: alive; of one with its pid that began at another time: dead', () => {
    expect(liveness(thisProcess())).toBe('alive')
    expect(liveness({ ...thisProcess(), host: 'elsewhere' })).toBe('unknown')
    if (thisProcess().began !== null) expect(liveness({ ...thisProcess(), began: '1' })).toBe('dead')
  })

  it.runIf(process.platform === 'linux')(
    'of one that has ended and whose parent does not ask for it: dead',
    async () => {
      // What the shell started in the background is the child of a sleep afterwards, which never waits for it.
      const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 20'], { stdio: ['ignore', 'pipe', 'ignore'] })
      try {
        const [printed] = await once(parent.stdout, 'data')
        const pid = Number(String(printed))
        while (!readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')) await sleep(10)
        expect(liveness({ ...thisProcess(), pid, began: null })).toBe('dead')
      } finally {
        parent.kill('SIGKILL')
      }
    },
  )
})
