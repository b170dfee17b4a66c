#!lua flags=allow-oom
-- look: takes uncertain calls of one account whose time has come, to ask the CRM about them, under a new fence. For the
-- length of the lease nobody else looks for them.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  most calls to take, 1 to 250
-- ARGV[3]  lease in ms
-- Returns  now, fence (0: none due), then per call: id, attempts, looks, received, first sent, retried since, uncertain
--          since, envelope
local root, account, size, lease = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if not size or size < 1 or size > 250 or not lease or lease <= 0 then return redis.error_reply('LOOK wants size and lease') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local set = root .. 'uncertain:' .. account
local ids = redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, size)
if #ids == 0 then return {now, 0} end

local fence = redis.call('INCR', root .. 'fence')
local answer = {now, fence}
for _, id in ipairs(ids) do
  local call = root .. 'call:' .. id
  local facts = redis.call('HMGET', call, 'at', 'lk', 'rc', 'fs', 'bs', 'us')
  facts[5] = facts[5] or facts[4]
  redis.call('HSET', call, 'fn', fence)
  redis.call('ZADD', set, now + lease, id)
  answer[#answer + 1] = id
  for i = 1, 6 do answer[#answer + 1] = facts[i] or 0 end
  answer[#answer + 1] = redis.call('HGET', root .. 'bodies', id) or ''
end
return answer
