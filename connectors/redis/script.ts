import { createHash } from 'node:crypto'

/** A Lua script, named by its SHA-1 so that its text is sent to each server only once. */
export interface Script {
  readonly lua: string
  readonly sha: string
}

export function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}
