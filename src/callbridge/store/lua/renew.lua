#!lua flags=allow-oom
-- renew: keeps calls ours for longer: those of a claim that wait for their turn, those of a look that takes its time.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  fence
-- ARGV[2]  lease in ms, from now
-- ARGV[3+] ids
-- Returns  how many were still ours
local root, fence, lease = KEYS[1], ARGV[1], tonumber(ARGV[2])
if not lease or lease <= 0 or #ARGV < 3 then return redis.error_reply('RENEW wants lease and ids') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local renewed = 0
for i = 3, #ARGV do
  local state, held, account = unpack(redis.call('HMGET', root .. 'call:' .. ARGV[i], 'st', 'fn', 'ac'))
  local set = false
  if state == 'claimed' or state == 'sending' then set = root .. 'leases' end
  if state == 'uncertain' then set = root .. 'uncertain:' .. account end
  if set and held == fence then
    redis.call('ZADD', set, 'XX', now + lease, ARGV[i])
    renewed = renewed + 1
  end
end
return renewed
