export { type BoundQuery, type GivenParameters, Queries } from './queries.ts'
