#!lua flags=allow-oom
-- revive: lets parked calls whose next try has come wait for sending again, in the lane of bulk: there may be thousands.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  most calls to revive in one go
-- Returns  how many were revived
local root, account, limit = KEYS[1], ARGV[1], tonumber(ARGV[2])
if not limit or limit < 1 then return redis.error_reply('REVIVE wants a limit') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', root .. 'parked:' .. account, '-inf', now, 'LIMIT', 0, limit)
for _, id in ipairs(ids) do
  redis.call('ZREM', root .. 'parked:' .. account, id)
  redis.call('HSET', root .. 'call:' .. id, 'st', 'waiting', 'up', now, 'bu', 1)
  redis.call('ZADD', root .. 'bulk:' .. account, now, id)
  redis.call('SADD', root .. 'retrying', id)
  redis.call('XADD', root .. 'ledger', '*', 'id', id)
end
return #ids
