import type { AnyProcessor } from '../core/component.ts'
import { chunk } from './chunk.ts'
import { classify } from './classify.ts'
import { cluster } from './cluster.ts'
import { dedupe } from './dedupe.ts'
import { embed } from './embed.ts'
import { filter } from './filter.ts'
import { flatten } from './flatten.ts'
import { lookup } from './lookup.ts'
import { map } from './map.ts'
import { novelty } from './novelty.ts'
import { redact } from './redact.ts'
import { similar } from './similar.ts'

/** Every processor. A new one is a file of its own and a line here. */
export const processors: readonly AnyProcessor[] = [
  chunk,
  classify,
  cluster,
  dedupe,
  embed,
  filter,
  flatten,
  lookup,
  map,
  novelty,
  redact,
  similar,
]
