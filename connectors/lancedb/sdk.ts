import { createRequire } from 'node:module'
import { errorMessage, Fatal } from '../../src/core/errors.ts'

export interface Sdk {
  readonly lancedb: typeof import('@lancedb/lancedb')
  readonly arrow: typeof import('apache-arrow')
}

/**
 * Loads LanceDB when it is first needed. Arrow is loaded the way LanceDB loads it: tables of another copy would be
 * rebuilt on every write. Throws `Fatal` (`lancedb_missing`) with what to install.
 */
export function loadSdk(): Sdk {
  const require = createRequire(import.meta.url)
  try {
    return { lancedb: require('@lancedb/lancedb'), arrow: require('apache-arrow') }
  } catch (error) {
    throw new Fatal({
      code: 'lancedb_missing',
      message: `The embedded vector store cannot be loaded: ${errorMessage(error)}`,
      hint: 'Install it with `npm install @lancedb/lancedb apache-arrow`, or bind `vectors:` in millrace.yaml.',
      cause: error,
    })
  }
}
