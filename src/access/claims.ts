import { claimAt } from '../core/claims.ts'

export type Claims = Readonly<Record<string, unknown>>
export type ClaimValue = string | number | boolean

/** So many values of one claim count at most: each of them is a pattern of its own, or an alternative of rows. */
const mostValues = 100
/** `scope` (RFC 8693), or `scp`. Other texts have spaces of their own: "guest admin" is no admin. */
const isScope = /(?:^|\.)(?:scope|scp)$/

/** Whether the claim is the value, or a list that has it. A scope is a list of words parted by spaces, as OAuth has it. */
export function claimHas(claims: Claims, name: string, wanted: ClaimValue): boolean {
  const claim = claimAt(claims, name)
  if (claim === wanted) return true
  if (Array.isArray(claim)) return claim.includes(wanted)
  return typeof claim === 'string' && isScope.test(name) && claim.split(' ').includes(String(wanted))
}

/**
 * The values of a claim that stand for something: texts that are not empty, numbers, true and false; those of a list each.
 * None if there is anything else among them, or too many: half of a list would say something else than the list.
 */
export function claimValues(claims: Claims, name: string): readonly ClaimValue[] {
  const claim = claimAt(claims, name)
  const values: unknown[] = Array.isArray(claim) ? claim : [claim]
  return values.length <= mostValues && values.every(isValue) ? values : []
}

function isValue(value: unknown): value is ClaimValue {
  return typeof value === 'boolean' || Number.isFinite(value) || (typeof value === 'string' && value !== '')
}
