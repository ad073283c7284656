import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { MillraceProvider } from '../../../src/react/index.ts'
import { App } from './app.tsx'

const parameters = new URLSearchParams(location.search)
const root = document.getElementById('app')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <MillraceProvider address={parameters.get('address') ?? location.origin}>
        <App parts={(parameters.get('show') ?? 'events').split(',')} />
      </MillraceProvider>
    </StrictMode>,
  )
}
