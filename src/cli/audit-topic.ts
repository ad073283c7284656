import type { Runtime } from '../config/runtime.ts'
import { InvalidInput } from '../core/errors.ts'
import { missingParts } from './role-bindings.ts'

const usualTopic = 'millrace.audit'

/**
 * The topic of the process's audit trail, if it is to have one: by default where callers have to show who they are
 * (`isGuarded`). An embedder has none without Kafka, for nobody could read it. Throws `InvalidInput` (`not_bound`) for a
 * gateway without topics to write it to.
 */
export function auditTopic(runtime: Runtime, isGuarded: boolean): string | undefined {
  const { role, kafka, server } = runtime
  const topic = server.audit ?? (isGuarded ? usualTopic : false)
  if (topic === false || (role === 'embedder' && kafka === undefined)) return undefined
  if (missingParts(runtime).includes('topics')) {
    throw new InvalidInput({
      code: 'not_bound',
      message: `A process of the role ${role} has no topics of its own, so the audit trail has no place.`,
      hint: 'Bind Kafka ("kafka" in millrace.yaml), or do without the trail: server.audit (MILLRACE_SERVER_AUDIT) false.',
    })
  }
  return topic
}
