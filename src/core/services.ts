import type { Analytics } from './analytics.ts'
import type { Embedder } from './embedder.ts'
import type { EventLog } from './event-log.ts'
import type { LiveLog } from './live-log.ts'
import type { Hashes } from './lookup.ts'
import type { Presence } from './presence.ts'
import type { Serde } from './serde.ts'
import type { VectorStore } from './vector-store.ts'

/** What the runtime binds. Each is opened when it is first asked for, and the same one is handed out afterwards. */
export interface Services {
  readonly serde: Serde
  log(): Promise<EventLog>
  analytics(): Promise<Analytics>
  vectors(): Promise<VectorStore>
  live(): Promise<LiveLog>
  embedder(): Promise<Embedder>
  /** Redis as a place of reference data; left out when none is bound. */
  hashes?(): Promise<Hashes>
  /** Who is on the channels, over all processes; left out where there is no other process to share them with. */
  presence?(): Promise<Presence>
  /** What requests of lookups to an origin (`https://host:port`) carry as headers, such as credentials. */
  headersFor?(origin: string): Readonly<Record<string, string>>
}
