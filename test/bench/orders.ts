const countries = ['de', 'fr', 'it', 'nl', 'pl', 'se']

export function amount(n: number): number {
  return (n * 7919) % 500
}

/** An event of about 200 bytes. */
export function order(n: number) {
  const country = countries[n % countries.length]
  const items = Array.from({ length: 3 }, (_, item) => ({ sku: `sku-${(n * 3 + item) % 1000}`, count: 1 + (item % 3) }))
  return { order: n, amount: amount(n), customer: { id: `customer-${n % 10_000}`, country }, items }
}
