#!lua flags=allow-oom
-- claim: takes the oldest due calls of one account under a lease and a new fence. A slowed account gives nothing, a paused
-- one nothing or one call when its probe is due.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  most calls to take, 1 to 250
-- ARGV[3]  lease in ms
-- Returns  {'none', now, ms until the next call is due or -1}
--          {'paused' | 'slowed', now, ms until it is worth asking again}
--          {'calls' | 'probe', now, fence, failures in a row, pause reason or '', then per call: id, attempts, parks, waiting since, first sent or '',
--          link or '', envelope}
-- Cost     O(taken * log n), whatever waits
local root, account, size, lease = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if not size or size < 1 or size > 250 or not lease or lease <= 0 then return redis.error_reply('CLAIM wants size and lease') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due, pause = root .. 'due:' .. account, root .. 'pause:' .. account

local blocked, failures = unpack(redis.call('HMGET', root .. 'pace:' .. account, 'blocked_until', 'failures'))
blocked = tonumber(blocked or 0) / 1000
-- Further ahead than anybody asks for is a clock that jumped back.
if blocked > now and blocked - now <= 3600000 then return {'slowed', now, math.ceil(blocked - now)} end

local what = 'calls'
local probe_at, reason = unpack(redis.call('HMGET', pause, 'probe_at', 'reason'))
if probe_at then
  if tonumber(probe_at) > now and tonumber(probe_at) - now <= tonumber(redis.call('HGET', pause, 'at_most')) then
    return {'paused', now, tonumber(probe_at) - now}
  end
  what, size = 'probe', 1
end

local ids = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, size)
if #ids == 0 then
  local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  return {'none', now, first[2] and math.max(0, math.ceil(first[2] - now)) or -1}
end

local fence = redis.call('INCR', root .. 'fence')
if what == 'probe' then
  local every, at_most = unpack(redis.call('HMGET', pause, 'every', 'at_most'))
  every = math.min(tonumber(every) * 2, tonumber(at_most))
  redis.call('HSET', pause, 'every', every, 'probe_at', now + every)
end
redis.call('ZREM', due, unpack(ids))
redis.call('SREM', root .. 'retrying', unpack(ids))
local bodies = redis.call('HMGET', root .. 'bodies', unpack(ids))
local leased, answer = {}, {what, now, fence, tonumber(failures or 0), reason or ''}
for i, id in ipairs(ids) do
  local call = root .. 'call:' .. id
  local facts = redis.call('HMGET', call, 'at', 'pk', 'rc', 'fs', 'ln', 'bs')
  redis.call('HSET', call, 'st', 'claimed', 'fn', fence)
  leased[2 * i - 1], leased[2 * i] = now + lease, id
  local at = #answer
  answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = id, facts[1] or 0, facts[2] or 0, facts[6] or facts[3]
  answer[at + 5], answer[at + 6], answer[at + 7] = facts[4] or '', facts[5] or '', bodies[i] or ''
end
redis.call('ZADD', root .. 'leases', unpack(leased))
return answer
