import type { AnyIntake, AnySink } from '../src/core/component.ts'
import { generate } from './generate/index.ts'

/** Every source and sink. A new one is a file or folder of its own and a line here. */
export const connectors: readonly (AnyIntake | AnySink)[] = [generate]
