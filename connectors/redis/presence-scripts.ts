import { script } from './script.ts'

/*
 * The members of a channel are four keys in one slot:
 *
 *   :channel   hash: epoch, version → counts changes, floor → version up to which departures are forgotten, server →
 *              replication id under which it was last written, process:<process> → "<end of its lease> <its changes>"
 *   :members   hash: <process> <id> → JSON of the member
 *   :changed   sorted set: <process> <id> by the version of its last change
 *   :left      sorted set: the same of members that have left lately
 *
 * So everything after a version is two ranges, in pages of any size, and a reader from version 0 gets everyone.
 *
 * A process holds a lease on each channel that it has members on or watches. Whoever renews its own in time ends those that
 * have run out, together with their members. A process whose count of changes is not that which is stored has lost some
 * (the server did, or the lease had ended): it is told what is stored of it and puts that right.
 *
 * All four end when nobody renews a lease on them. A new epoch begins then, and when another server has taken over.
 */

/** Departures that are remembered, for readers that fetch only what has changed. */
const keptDepartures = 1_000

/** ARGV 1 process, 2 milliseconds of a lease, 3 changes of this process so far, 4 epoch to take if a new one begins, 5 topic. */
const write = `
local meta, members, changed, left = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local process, lease, topic = ARGV[1], tonumber(ARGV[2]), ARGV[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
local known = redis.call('HMGET', meta, 'epoch', 'version', 'server', 'process:' .. process)
local before = tonumber(known[2] or '0')
local version = before
local deadline, count = string.match(known[4] or '0 0', '^(%d+) (%d+)$')
local function text(number) return string.format('%.0f', number) end
local function of(field, owner) return string.sub(field, 1, #owner + 1) == owner .. ' ' end
local function leave(field)
  if redis.call('HDEL', members, field) == 0 then return end
  version = version + 1
  redis.call('ZREM', changed, field)
  redis.call('ZADD', left, text(version), field)
end
local function renew()
  redis.call('HSET', meta, 'version', text(version), 'process:' .. process, text(now + lease) .. ' ' .. count)
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, lease) end
end
if not known[1] then redis.call('DEL', members, changed, left) end
if not known[1] or known[3] ~= server then redis.call('HSET', meta, 'epoch', ARGV[4], 'server', server) end
if count ~= ARGV[3] then
  local own = {}
  for _, field in ipairs(known[4] and redis.call('HKEYS', members) or {}) do
    if of(field, process) then own[#own + 1] = string.sub(field, #process + 2) end
  end
  renew()
  return {'other', count, own}
end
local function finish()
  local surplus = redis.call('ZCARD', left) - ${keptDepartures}
  if surplus > 0 then
    local last = redis.call('ZRANGE', left, surplus - 1, surplus - 1, 'WITHSCORES')
    redis.call('ZREMRANGEBYRANK', left, 0, surplus - 1)
    redis.call('HSET', meta, 'floor', last[2])
  end
  renew()
  if version > before or not known[1] then redis.call('PUBLISH', topic, text(version)) end
end
`

/**
 * KEYS channel, members, changed, left. ARGV as above, then the most members, and id and JSON by turns, where an empty JSON
 * takes the member away. Answers `done`, the changes of this process, and the ids that there was no room for; or `other`,
 * the changes that are stored, and the ids that are stored.
 */
export const changeScript = script(`${write}
local refused = {}
for i = 7, #ARGV, 2 do
  local field = process .. ' ' .. ARGV[i]
  if ARGV[i + 1] == '' then
    leave(field)
  elseif redis.call('HEXISTS', members, field) == 0 and redis.call('HLEN', members) >= tonumber(ARGV[6]) then
    refused[#refused + 1] = ARGV[i]
  else
    version = version + 1
    redis.call('HSET', members, field, ARGV[i + 1])
    redis.call('ZADD', changed, text(version), field)
    redis.call('ZREM', left, field)
  end
end
count = text(count + 1)
finish()
return {'done', count, refused}
`)

/**
 * KEYS and ARGV as above. Renews the lease; who was in time ends those that were not, for after an outage nobody was.
 * Answers as `changeScript`.
 */
export const renewScript = script(`${write}
if tonumber(deadline) >= now then
  local entries = redis.call('HGETALL', meta)
  local ended = {}
  for i = 1, #entries, 2 do
    local other = string.match(entries[i], '^process:(.+)$')
    local theirs = other and tonumber(string.match(entries[i + 1], '^%d+'))
    if theirs and theirs < now then ended[#ended + 1] = other end
  end
  if #ended > 0 then
    for _, field in ipairs(redis.call('HKEYS', members)) do
      for _, other in ipairs(ended) do if of(field, other) then leave(field) end end
    end
    for _, other in ipairs(ended) do redis.call('HDEL', meta, 'process:' .. other) end
  end
end
finish()
return {'done', count, {}}
`)

/** KEYS and ARGV as above, of a process that has no members any more. Ends its lease. Answers as `changeScript`. */
export const endScript = script(`${write}
redis.call('HDEL', meta, 'process:' .. process)
return {'done', '0', {}}
`)

/**
 * KEYS as above. ARGV epoch and version that are known, members at most. Answers the epoch, the version after which it
 * begins (0 where the reader has to begin anew), that up to which it goes, 1 if there is more, members that have come or
 * changed (field and JSON by turns), and fields of those that have left.
 */
export const changesScript = script(`
local meta, members, changed, left = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local known = redis.call('HMGET', meta, 'epoch', 'version', 'floor')
local epoch, last, floor = known[1] or '', known[2] or '0', tonumber(known[3] or '0')
local from, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
if epoch ~= ARGV[1] or from < floor or from > tonumber(last) then from = 0 end
local after = '(' .. string.format('%.0f', from)
local fields = redis.call('ZRANGEBYSCORE', changed, after, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
local more = #fields == limit * 2
local upto = more and fields[#fields] or last
local joined = {}
for i = 1, #fields, 2 do
  joined[#joined + 1] = fields[i]
  joined[#joined + 1] = redis.call('HGET', members, fields[i]) or ''
end
local gone = redis.call('ZRANGEBYSCORE', left, after, upto)
return {epoch, string.format('%.0f', from), upto, more and 1 or 0, joined, gone}
`)
