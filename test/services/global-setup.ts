import { closeRunFolder, openRunFolder, sweepRunFolders } from './run-folder.ts'

/** Before the first test file and after the last one: servers start when a test asks for them, and end here. */
export default function setup(): () => void {
  sweepRunFolders()
  const folder = openRunFolder()
  const close = () => closeRunFolder(folder)
  // When the run is broken off, the runner may end without the teardown.
  process.on('exit', close)
  return () => {
    process.off('exit', close)
    close()
  }
}
