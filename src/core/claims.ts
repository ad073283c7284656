/**
 * The claim of a name, which may lead into others by dots: `realm_access.roles`. Names that have dots themselves, such as
 * `https://example.com/roles`, are found as they are, and come first.
 */
export function claimAt(claims: unknown, name: string): unknown {
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) return undefined
  if (Object.hasOwn(claims, name)) return Reflect.get(claims, name)
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
    const inner = name.slice(0, dot)
    const found = Object.hasOwn(claims, inner) ? claimAt(Reflect.get(claims, inner), name.slice(dot + 1)) : undefined
    if (found !== undefined) return found
  }
  return undefined
}
