import { connectors } from '../../connectors/index.ts'
import { createCatalog } from '../core/component.ts'
import { processors } from '../processors/index.ts'

/** Every component that this build has. */
export const catalog = createCatalog([...connectors, ...processors])
