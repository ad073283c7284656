/** Waits for all, including those that are added meanwhile; then throws the first failure, if there was one. */
export async function allSettled<T>(work: readonly Promise<T>[]): Promise<T[]> {
  let settled: PromiseSettledResult<T>[] = []
  while (settled.length < work.length) settled = await Promise.allSettled(work)
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}
