const list = document.querySelector('#events ol')
const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' })
worker.addEventListener('message', ({ data }) => {
  const item = document.createElement('li')
  item.textContent = typeof data === 'string' ? data : data.text
  list?.append(item)
})
worker.postMessage({ address: new URLSearchParams(location.search).get('address') })
