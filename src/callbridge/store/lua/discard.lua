#!lua flags=allow-oom
-- discard: an operator decides that dead calls need nothing more. They stay visible as ignored.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV     ids, at most 200
-- Returns  ids that were moved
local root = KEYS[1]
if #ARGV == 0 or #ARGV > 200 then return redis.error_reply('DISCARD wants 1 to 200 ids') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local moved = {}
for _, id in ipairs(ARGV) do
  local call = root .. 'call:' .. id
  local state, reason = unpack(redis.call('HMGET', call, 'st', 'rs'))
  if state == 'dead' then
    redis.call('ZREM', root .. 'dead', id)
    redis.call('HSET', call, 'st', 'ignored', 'rs', 'discarded', 'up', now)
    redis.call('ZADD', root .. 'ignored', now, id)
    redis.call('RPUSH', root .. 'story:' .. id, cjson.encode({at = now, what = 'discarded', was = reason}))
    redis.call('LTRIM', root .. 'story:' .. id, -100, -1)
    redis.call('XADD', root .. 'ledger', '*', 'id', id)
    moved[#moved + 1] = id
  end
end
return moved
