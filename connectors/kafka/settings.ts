/** `kafka` of the runtime's settings, checked. Durations are milliseconds, `tls` names PEM files. */
export interface KafkaSettings {
  /** `host:port` of some brokers. */
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly ssl: boolean
  readonly tls?:
    | {
        readonly ca?: string | undefined
        readonly cert?: string | undefined
        readonly key?: string | undefined
      }
    | undefined
  readonly sasl?: SaslSettings | undefined
  /** A process that is not heard of for so long loses its partitions. */
  readonly sessionTimeout: number
  /** How long an append may wait for others to share its request. */
  readonly linger: number
  readonly compression: Compression
  /** Replicas of topics that are created; the brokers' default when left out. */
  readonly replication?: number | undefined
}

export type Compression = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

export interface SaslSettings {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512' | 'oauthbearer'
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** `oauthbearer`: where tokens come from (OAuth 2.0 client credentials). */
  readonly tokenUrl?: string | undefined
  readonly clientId?: string | undefined
  readonly clientSecret?: string | undefined
  readonly scope?: string | undefined
}

/** Where what went wrong and recovered is told. */
export type Warn = (message: string, fields?: Readonly<Record<string, unknown>>) => void
