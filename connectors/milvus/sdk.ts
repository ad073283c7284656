import { createRequire } from 'node:module'
import { errorMessage, Fatal } from '../../src/core/errors.ts'

export type Sdk = typeof import('@zilliz/milvus2-sdk-node')

/** Loads the client of Milvus when it is first needed. Throws `Fatal` (`milvus_missing`) with what to install. */
export function loadSdk(): Sdk {
  const require = createRequire(import.meta.url)
  try {
    return require('@zilliz/milvus2-sdk-node')
  } catch (error) {
    throw new Fatal({
      code: 'milvus_missing',
      message: `The client of Milvus cannot be loaded: ${errorMessage(error)}`,
      hint: 'Install it with `npm install @zilliz/milvus2-sdk-node`.',
      cause: error,
    })
  }
}
