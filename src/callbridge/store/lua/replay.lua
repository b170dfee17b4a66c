#!lua flags=allow-oom
-- replay: lets dead calls be sent again, with a fresh budget. A call whose outcome is unknown may be in the CRM, so it is
-- looked for first. What holds no call (undecodable) and what is not dead any more stays as it is. They go into the lane of
-- bulk: live calls do not wait for them.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  who decides, or ''
-- ARGV[2]  why, or ''
-- ARGV[3+] ids, at most 200
-- Returns  ids that were moved
local root, by, why = KEYS[1], ARGV[1], ARGV[2]
if #ARGV < 3 or #ARGV > 202 then return redis.error_reply('REPLAY wants who, why and 1 to 200 ids') end
by, why = by ~= '' and by or nil, why ~= '' and why or nil

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local moved = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local call = root .. 'call:' .. id
  local state, account, reason, attempts = unpack(redis.call('HMGET', call, 'st', 'ac', 'rs', 'at'))
  if state == 'dead' and reason ~= 'undecodable' then
    local to = reason == 'unknown_outcome' and 'uncertain' or 'waiting'
    redis.call('ZREM', root .. 'dead', id)
    redis.call('HDEL', call, 'rs', 'de', 'dt', 'us', 'lk')
    redis.call('HSET', call, 'st', to, 'up', now, 'bu', 1)
    if to == 'uncertain' then
      -- Its notes are searched from its first request on; its time for retries begins anew.
      redis.call('HSET', call, 'us', now, 'bs', now)
      redis.call('ZADD', root .. 'uncertain:' .. account, now, id)
    else
      redis.call('HDEL', call, 'fs')
      redis.call('HSET', call, 'bs', now)
      redis.call('ZADD', root .. 'bulk:' .. account, now, id)
      if tonumber(attempts or 0) > 0 then redis.call('SADD', root .. 'retrying', id) end
    end
    redis.call('RPUSH', root .. 'story:' .. id, cjson.encode({at = now, what = 'replayed', was = reason, by = by, why = why}))
    redis.call('LTRIM', root .. 'story:' .. id, -100, -1)
    redis.call('XADD', root .. 'ledger', '*', 'id', id)
    moved[#moved + 1] = id
  end
end
return moved
