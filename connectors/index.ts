import type { AnyIntake, AnySink } from '../src/core/component.ts'
import { clickhouse } from './clickhouse/index.ts'
import { consoleSink } from './console.ts'
import { files } from './files/index.ts'
import { generate } from './generate/index.ts'
import { live } from './live.ts'
import { stdin } from './stdin.ts'
import { topic } from './topic.ts'
import { vectors } from './vectors.ts'

/** Every source and sink. A new one is a file or folder of its own and a line here. */
export const connectors: readonly (AnyIntake | AnySink)[] = [
  clickhouse,
  files,
  generate,
  consoleSink,
  live,
  stdin,
  topic,
  vectors,
]
