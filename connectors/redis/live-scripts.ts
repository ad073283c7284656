import { script } from './script.ts'

/*
 * A channel is two keys in one slot:
 *
 *   :channel   hash: epoch, next, server → replication id under which it was last written, appended → time of the last
 *              append, lane:<lane> → source offset
 *   :events    stream: an entry <offset>-<time of the append, milliseconds> has the fields e (JSON) and v (vector)
 *
 * Entries are named by their offset, so a read from an offset is one descent of the stream's tree. The stream ends with its
 * last event's time to live; the hash stays, for it bounds what a replay may append again.
 *
 * A new epoch begins when the hash was not there, and when the server has another replication id than the one that wrote
 * last: it was started anew or another took its place, and nobody can say whether the last writes came along.
 */

/** Sets `meta`, `events`, `epoch`, `following` (the next offset) and `now`; a new epoch is stored at once. */
const channel = `
local meta, events = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
local known = redis.call('HMGET', meta, 'epoch', 'next', 'server', 'appended')
local epoch, following = known[1], tonumber(known[2] or '0')
local function offset_of(entry) return tonumber(string.match(entry[1], '^(%d+)')) end
local function time_of(entry) return tonumber(string.match(entry[1], '(%d+)$')) end
if not epoch then
  local last = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
  if last then following = offset_of(last) + 1 end
end
if not epoch or known[3] ~= server then
  epoch = ARGV[1]
  redis.call('HSET', meta, 'epoch', epoch, 'next', string.format('%.0f', following), 'server', server)
end
`

/** Entries that are looked at together, before their bytes are counted. */
const entriesPerStep = 20

/** How long a channel without events keeps the epoch that someone has asked for. */
const unusedMs = 7 * 24 * 60 * 60 * 1000

/** KEYS channel, events. ARGV epoch to take if a new one begins. Answers epoch, first, next. */
export const headScript = script(`${channel}
if following == 0 then redis.call('PEXPIRE', meta, ${unusedMs}) end
local oldest = redis.call('XRANGE', events, '-', '+', 'COUNT', 1)[1]
local first = oldest and offset_of(oldest) or following
return {epoch, string.format('%.0f', first), string.format('%.0f', following)}
`)

/**
 * KEYS channel, events. ARGV offset, events at most, bytes after which no more are added. Answers the epoch they are of, and the
 * events from the offset on.
 */
export const readScript = script(`
local found, bytes, from, left = {}, 0, ARGV[1], tonumber(ARGV[2])
while left > 0 do
  local count = math.min(left, ${entriesPerStep})
  local page = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', count)
  for _, entry in ipairs(page) do
    found[#found + 1] = entry
    for _, field in ipairs(entry[2]) do bytes = bytes + #field end
    if bytes >= tonumber(ARGV[3]) then left = 0 break end
  end
  left = #page < count and 0 or left - count
  if left > 0 then from = '(' .. page[#page][1] end
end
return {redis.call('HGET', KEYS[1], 'epoch'), found}
`)

/**
 * KEYS channel, events. ARGV epoch to take, lane, events to keep, milliseconds to keep, where to tell of it, then offset,
 * JSON and vector by turns. Answers 1 when these are the channel's first events, else 0.
 */
export const appendScript = script(`${channel}
local lane, keep_events, keep_ms = 'lane:' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local last = tonumber(redis.call('HGET', meta, lane) or '-1')
local first, newest = following, last
-- Ascending, also when the clock is set back, or another server with another clock takes over.
now = math.max(now, tonumber(known[4] or '0'))
for i = 6, #ARGV, 3 do
  local offset = tonumber(ARGV[i])
  if offset > last then
    local id = string.format('%.0f-%.0f', following, now)
    if ARGV[i + 2] == '' then
      redis.call('XADD', events, id, 'e', ARGV[i + 1])
    else
      redis.call('XADD', events, id, 'e', ARGV[i + 1], 'v', ARGV[i + 2])
    end
    following = following + 1
    if offset > newest then newest = offset end
  end
end
if following == first then return 0 end
redis.call('HSET', meta, 'next', string.format('%.0f', following), 'appended', string.format('%.0f', now))
redis.call('HSET', meta, lane, string.format('%.0f', newest))
if first == 0 then redis.call('PERSIST', meta) end
redis.call('XTRIM', events, 'MAXLEN', keep_events)
redis.call('PEXPIRE', events, keep_ms)
local oldest = redis.call('XRANGE', events, '-', '+', 'COUNT', 1)[1]
-- What is too old goes in portions of a hundredth of that time, so that most appends need not search for it.
if time_of(oldest) < now - keep_ms * 1.01 then
  local low, high = offset_of(oldest), following - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local entry = redis.call('XRANGE', events, string.format('%.0f', middle), '+', 'COUNT', 1)[1]
    if entry and time_of(entry) < now - keep_ms then low = offset_of(entry) + 1 else high = middle end
  end
  redis.call('XTRIM', events, 'MINID', string.format('%.0f', low))
end
redis.call('PUBLISH', ARGV[5], epoch .. ' ' .. string.format('%.0f', following))
return first == 0 and 1 or 0
`)
