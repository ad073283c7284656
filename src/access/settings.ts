import type { Action } from '../core/principal.ts'

/** What those may do for whom `when` holds. Names are patterns: `*` is any characters, `{claim}` the caller's claim. */
export interface AccessRule extends Readonly<{ [action in Action]?: readonly string[] | undefined }> {
  /** Claims with the value that each must have, or have in its list. Left out: everyone who is recognised. */
  readonly when?: Readonly<Record<string, string | number | boolean>> | undefined
  /** Fields with the claim whose value they must have, for all that the rule grants. */
  readonly rows?: Readonly<Record<string, string>> | undefined
}

/** Where tokens come from. One of `secret`, `publicKey` and `jwks`. */
export interface TokenSettings {
  readonly secret?: string | undefined
  /** PEM files. */
  readonly publicKey?: readonly string[] | undefined
  /** A file, or an http(s) address. */
  readonly jwks?: string | undefined
  readonly issuer?: readonly string[] | undefined
  readonly audience?: readonly string[] | undefined
  readonly algorithms?: readonly string[] | undefined
  /** Milliseconds. */
  readonly clockTolerance: number
}

export interface AccessSettings {
  /** Whoever has it may do everything. */
  readonly token?: string | undefined
  readonly jwt?: TokenSettings | undefined
  readonly access?: readonly AccessRule[] | undefined
  readonly tls?: { readonly clients?: 'optional' | 'required' | undefined } | undefined
}
