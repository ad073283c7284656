import { Activity, StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { MillraceProvider } from '../../../src/react/index.ts'
import { App } from './app.tsx'

/** Hidden by React, everything keeps its state and loses its effects. */
function Curtain() {
  const [drawn, setDrawn] = useState(false)
  return (
    <>
      <button type="button" onClick={() => setDrawn(!drawn)}>
        Curtain
      </button>
      <Activity mode={drawn ? 'hidden' : 'visible'}>
        <MillraceProvider address={parameters.get('address') ?? location.origin}>
          <App parts={(parameters.get('show') ?? 'events').split(',')} />
        </MillraceProvider>
      </Activity>
    </>
  )
}

const parameters = new URLSearchParams(location.search)
const root = document.getElementById('app')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Curtain />
    </StrictMode>,
  )
}
