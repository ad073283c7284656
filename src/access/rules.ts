import { type Action, actions, type Principal, type RowFilter, type RowValue } from '../core/principal.ts'
import { type Claims, claimHas, claimValues } from './claims.ts'
import { type NameTest, nameTest } from './patterns.ts'
import type { AccessRule } from './settings.ts'

/** So many alternatives of rows count at most, if several fields of a rule are lists. */
const mostAlternatives = 1_000

/** What one rule lets one caller do. */
interface Grant {
  readonly names: Readonly<Partial<Record<Action, readonly NameTest[]>>>
  readonly rows: RowFilter | undefined
}

/** Someone who may do what the rules say, and nothing else. Rules add up. */
export function ruled(identity: Pick<Principal, 'id' | 'claims' | 'expires'>, rules: readonly AccessRule[]): Principal {
  const grants = rules.flatMap((rule) => grantOf(rule, identity.claims) ?? [])
  const granting = (action: Action, name: string) =>
    grants.filter(({ names }) => names[action]?.some((fits) => fits(name)) === true)
  return {
    ...identity,
    may: (action, name) => granting(action, name).length > 0,
    rows: (action, name) => {
      const filters = granting(action, name).map(({ rows }) => rows)
      return filters.includes(undefined) ? undefined : union(filters.flatMap((rows) => rows ?? []))
    },
  }
}

/** Undefined if the rule is not for the caller, or names rows by a claim that the caller lacks. */
function grantOf(rule: AccessRule, claims: Claims): Grant | undefined {
  const holds = Object.entries(rule.when ?? {}).every(([claim, value]) => claimHas(claims, claim, value))
  const rows = rule.rows && rowsOf(rule.rows, claims)
  if (!holds || rows?.length === 0) return undefined
  const names = actions.map((action) => {
    return [action, (rule[action] ?? []).flatMap((pattern) => nameTest(pattern, claims) ?? [])] as const
  })
  return { names: Object.fromEntries(names), rows }
}

/** Every combination of the values that the claims have. */
function rowsOf(rows: Readonly<Record<string, string>>, claims: Claims): RowFilter {
  let alternatives: Readonly<Record<string, RowValue>>[] = [{}]
  for (const [field, claim] of Object.entries(rows)) {
    const values = claimValues(claims, claim)
    if (alternatives.length * values.length > mostAlternatives) return []
    alternatives = alternatives.flatMap((known) => values.map((value) => ({ ...known, [field]: value })))
  }
  return alternatives
}

function union(alternatives: RowFilter): RowFilter {
  const known = new Map(alternatives.map((each) => [JSON.stringify(Object.entries(each).toSorted()), each]))
  // In an order of their own: what someone sees is the same, however the claims are ordered.
  return [...known].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, each]) => each)
}
