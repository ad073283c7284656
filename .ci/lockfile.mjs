// Completes package-lock.json after a change of dependencies: `npm install` leaves out the optional packages of platforms
// that the registry at hand does not have, and `npm ci` then refuses the file everywhere. They are named here by what
// their dependents say of them; npm reads the platform from `os`, `cpu` and `libc` and fetches only what fits.
import { readFileSync, writeFileSync } from 'node:fs'

const path = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(path, 'utf8'))
const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
const processors = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64']

for (const [dependent, { optionalDependencies = {} }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const known = [`node_modules/${name}`, `${dependent}/node_modules/${name}`].some((place) => place in lock.packages)
    const os = systems.find((system) => name.includes(`-${system}`))
    const cpu = processors.filter((processor) => new RegExp(`-${processor}(-|$)`).test(name))
    if (known || os === undefined || cpu.length === 0) continue
    const libc = os !== 'linux' ? undefined : /musl/.test(name) ? ['musl'] : /gnu/.test(name) ? ['glibc'] : undefined
    const dev = lock.packages[dependent].dev
    lock.packages[`node_modules/${name}`] = { version, cpu, ...(dev ? { dev } : {}), optional: true, os: [os], libc }
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(path, `${JSON.stringify(lock, undefined, 2)}\n`)
