/** What a process does of all that Millrace does. */
export const roles = ['all', 'processor', 'gateway', 'embedder'] as const
export type Role = (typeof roles)[number]
