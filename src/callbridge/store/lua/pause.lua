#!lua flags=allow-oom
-- pause: the account gives out no calls, only one now and then to see whether it works again. Pausing a paused account
-- keeps its beginning and its probe schedule; one that a person holds stays as it is.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  reason
-- ARGV[3]  detail
-- ARGV[4]  ms until the first probe
-- ARGV[5]  longest ms between two probes
-- Returns  1 if the account was not paused for this reason before, else 0
local root, account, reason, detail = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local first, at_most = tonumber(ARGV[4]), tonumber(ARGV[5])
if not first or first < 1 or not at_most or at_most < first then return redis.error_reply('PAUSE wants two waits') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local key = root .. 'pause:' .. account
local owner, ends = unpack(redis.call('HMGET', key, 'owner', 'until'))
if owner and (not ends or tonumber(ends) > now) then return 0 end
if owner then redis.call('DEL', key) end
if redis.call('HGET', key, 'reason') == reason then
  redis.call('HSET', key, 'detail', detail)
  return 0
end
redis.call('SADD', root .. 'accounts', account)
redis.call('HSETNX', key, 'since', now)
redis.call('HSET', key, 'reason', reason, 'detail', detail, 'probe_at', now + first, 'every', first, 'at_most', at_most)
return 1
