/** What lint knows of the events at one point of a pipeline. `undefined` fields: anything may be there. */
export interface Shape {
  readonly fields: ReadonlySet<string> | undefined
  readonly vectors: ReadonlySet<string>
}
