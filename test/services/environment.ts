import { customary } from '../../src/config/environment.ts'

const moved = (name: string): string => `MILLRACE_TEST_${name}`

/**
 * Takes the customary names of servers out of the environment of the tests: they name servers for tests to use, and must
 * not bind the product under test.
 */
export function hideBindings(environment: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(customary)) {
    const value = environment[name]
    if (value === undefined) continue
    environment[moved(name)] = value
    delete environment[name]
  }
}

/** The address of a server that whoever runs the tests has named, such as the one of `KAFKA_BROKERS`. */
export function givenAddress(name: string): string | undefined {
  const value = process.env[moved(name)] ?? process.env[name]
  return value === '' ? undefined : value
}
