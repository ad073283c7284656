const words = (
  'the a of and to in for with service invoice payment customer outage deploy stream event vector database latency ' +
  'question answer refund subscription browser socket cluster partition offset configuration retry please cannot when ' +
  'we our you your is are was has have after before since again still every most new old slow fast'
).split(' ')

/** So many texts of so many words, from a series in which every text is different and the same in every process. */
export function textsFrom(first: number, count: number, leastWords: number, mostWords: number): string[] {
  return Array.from({ length: count }, (_, index) => text(first + index, leastWords, mostWords))
}

function text(seed: number, leastWords: number, mostWords: number): string {
  let state = Math.imul(seed + 1, 2_654_435_761) >>> 0
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state >>> 8
  }
  const length = leastWords + (next() % (mostWords - leastWords + 1))
  return Array.from({ length }, () => words[next() % words.length]).join(' ')
}
