export { pipelineJsonSchema } from './json-schema.ts'
export { type ParsedPipeline, type ParseOptions, parsePipeline } from './pipeline.ts'
export { formatProblem, InvalidConfig, type Problem } from './problem.ts'
export { type LoadOptions, loadRuntime, type Runtime, redacted, topicConfig } from './runtime.ts'
