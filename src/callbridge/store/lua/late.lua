#!lua flags=allow-oom
-- late: takes the oldest due note of one account: a recording that came when its call was in the CRM. Under a new fence, and
-- for the length of the lease nobody else gets it. A slowed or paused account gives none.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  lease in ms
-- Returns  {} or {now, fence, failures in a row, note, call id, link, times postponed, looks, queued since,
--          posted first or '', entity type, entity id, envelope}
local root, account, lease = KEYS[1], ARGV[1], tonumber(ARGV[2])
if not account or account == '' or not lease or lease <= 0 then return redis.error_reply('LATE wants account and lease') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local blocked, failures, opened, trial_until =
  unpack(redis.call('HMGET', root .. 'pace:' .. account, 'blocked_until', 'failures', 'opened', 'trial_until'))
blocked = math.max(tonumber(blocked or 0) / 1000, opened and tonumber(trial_until or 0) or 0)
-- Further ahead than anybody asks for is a clock that jumped back.
if blocked > now and blocked - now <= 3600000 then return {} end
if redis.call('EXISTS', root .. 'pause:' .. account) == 1 then return {} end

local set = root .. 'late:' .. account
local name = redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, 1)[1]
if not name then return {} end
local note = root .. 'note:' .. name
local id, link, times, looks, since, posted = unpack(redis.call('HMGET', note, 'id', 'ln', 'at', 'lk', 'cr', 'ps'))
if not id then
  redis.call('ZREM', set, name)
  return {}
end
local kind, card = unpack(redis.call('HMGET', root .. 'call:' .. id, 'et', 'ei'))
local fence = redis.call('INCR', root .. 'fence')
redis.call('HSET', note, 'fn', fence)
redis.call('ZADD', set, now + lease, name)
return {
  now, fence, tonumber(failures or 0), name, id, link, times or 0, looks or 0, since, posted or '', kind or '', card or 0,
  redis.call('HGET', root .. 'bodies', id) or '',
}
