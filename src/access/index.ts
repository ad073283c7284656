export { type Access, type Credentials, createAccess } from './access.ts'
export type { ClientCertificate } from './certificate.ts'
export { FollowedFiles } from './files.ts'
export type { AccessRule, AccessSettings, TokenSettings } from './settings.ts'
