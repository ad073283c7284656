import { errorMessage, Fatal } from '../../src/core/errors.ts'

export type Sdk = typeof import('pg')

/** Loads `pg` when it is first needed. Throws `Fatal` (`pg_missing`) with what to install. */
export async function loadSdk(): Promise<Sdk['default']> {
  try {
    return (await import('pg')).default
  } catch (error) {
    throw new Fatal({
      code: 'pg_missing',
      message: `The client of PostgreSQL cannot be loaded: ${errorMessage(error)}`,
      hint: 'Install it with `npm install pg`, or bind `vectors:` in millrace.yaml to another store.',
      cause: error,
    })
  }
}
