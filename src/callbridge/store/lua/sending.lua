#!lua flags=allow-oom
-- sending: the last step before bytes leave. Only here does a call's number of attempts grow. From now until it is
-- settled a call may be in the CRM; what left together, and when, stays known with it for as long.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  fence under which the calls were claimed
-- ARGV[2]  lease in ms, from now
-- ARGV[3]  batch id; marking the same batch again counts no further attempt
-- ARGV[4+] ids
-- Returns  ids that are still ours, in order; what another worker took meanwhile is left out
local root, fence, lease, batch = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
if not lease or lease <= 0 or not batch or #ARGV < 4 then return redis.error_reply('SENDING wants lease, batch and ids') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ours, leased = {}, {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local call = root .. 'call:' .. id
  local state, held, marked = unpack(redis.call('HMGET', call, 'st', 'fn', 'ba'))
  if held == fence and (state == 'claimed' or state == 'sending') then
    if not (state == 'sending' and marked == batch) then
      redis.call('HINCRBY', call, 'at', 1)
      redis.call('HSETNX', call, 'fs', now)
    end
    redis.call('HSET', call, 'st', 'sending', 'ba', batch)
    ours[#ours + 1] = id
    leased[#leased + 1] = now + lease
    leased[#leased + 1] = id
  end
end
if #ours > 0 then
  redis.call('ZADD', root .. 'leases', unpack(leased))
  for _, id in ipairs(ours) do redis.call('HSET', root .. 'call:' .. id, 'sn', now .. ' ' .. #ours) end
end
return ours
