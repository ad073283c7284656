import { createRequire } from 'node:module'
import { errorMessage, Fatal } from '../../src/core/errors.ts'

export type Sdk = typeof import('@pinecone-database/pinecone')

/** Loads the client of Pinecone when it is first needed. Throws `Fatal` (`pinecone_missing`) with what to install. */
export function loadSdk(): Sdk {
  const require = createRequire(import.meta.url)
  try {
    return require('@pinecone-database/pinecone')
  } catch (error) {
    throw new Fatal({
      code: 'pinecone_missing',
      message: `The client of Pinecone cannot be loaded: ${errorMessage(error)}`,
      hint: 'Install it with `npm install @pinecone-database/pinecone`.',
      cause: error,
    })
  }
}
