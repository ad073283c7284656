import { resolve } from 'node:path'
import { loadRuntime, type Runtime } from '../config/runtime.ts'
import type { Cli, GlobalOptions } from './cli.ts'
import { WrongUsage } from './failure.ts'

/** The runtime, with what the command line says in front of the environment and the file. */
export async function openRuntime(
  cli: Cli,
  { config, data }: GlobalOptions,
  twins: Readonly<Record<string, string | undefined>> = {},
): Promise<Runtime> {
  if (data === '') throw new WrongUsage('--data names no folder', 'was it to come from a variable that is not set?')
  const given = { ...twins, MILLRACE_DATA: data === undefined ? undefined : resolve(cli.folder, data) }
  const set = Object.entries(given).filter(([, value]) => value !== undefined)
  return loadRuntime({ file: config, env: { ...cli.environment, ...Object.fromEntries(set) }, cwd: cli.folder })
}
