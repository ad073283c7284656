import type { InferenceSession } from 'onnxruntime-node'
import { gemmModel, products as productsName, rows as rowsName, vectors as vectorsName } from './gemm-model.ts'
import type { Kernel, Operands } from './kernel.ts'
import { loopsInTurns } from './loops.ts'

type Library = Pick<typeof import('onnxruntime-node'), 'InferenceSession' | 'Tensor'>

/** The library computes on the thread that calls it, which is why no call may be large. */
const sessionOptions: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  enableCpuMemArena: false,
  enableMemPattern: false,
  extra: { session: { intra_op: { allow_spinning: '0' } } },
}

let shared: Promise<Kernel> | undefined

/** The fastest kernel that this machine has. Loaded when it is first asked for: that takes a moment, once per process. */
export function fastestKernel(): Promise<Kernel> {
  shared ??= openKernel(() => import('onnxruntime-node'))
  return shared
}

/**
 * Matrix products by onnxruntime-node, 10 to 20 times as fast as loops, and the loops where it cannot be loaded. The
 * matrices are not copied.
 */
export async function openKernel(load: () => Promise<Library>): Promise<Kernel> {
  try {
    const { InferenceSession, Tensor } = await load()
    const session = await InferenceSession.create(gemmModel(), sessionOptions)
    return {
      multiplyAdds: 2 ** 24,
      async multiply({ rows, vectors, dimension, products }: Operands) {
        // With one row the library goes through the other side as it lies in memory, up to three times as fast.
        const [left, right] = vectors.length === dimension ? [vectors, rows] : [rows, vectors]
        const [height, width] = [left.length / dimension, right.length / dimension]
        const feeds = {
          [rowsName]: new Tensor('float32', left, [height, dimension]),
          [vectorsName]: new Tensor('float32', right, [width, dimension]),
        }
        await session.run(feeds, { [productsName]: new Tensor('float32', products, [height, width]) })
      },
    }
  } catch {
    return loopsInTurns
  }
}
