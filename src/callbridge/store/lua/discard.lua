#!lua flags=allow-oom
-- discard: an operator decides that dead calls need nothing more. They stay visible as ignored.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  who decides, or ''
-- ARGV[2]  why, or ''
-- ARGV[3+] ids, at most 200
-- Returns  ids that were moved
local root, by, why = KEYS[1], ARGV[1], ARGV[2]
if #ARGV < 3 or #ARGV > 202 then return redis.error_reply('DISCARD wants who, why and 1 to 200 ids') end
by, why = by ~= '' and by or nil, why ~= '' and why or nil

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local moved = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local call = root .. 'call:' .. id
  local state, reason = unpack(redis.call('HMGET', call, 'st', 'rs'))
  if state == 'dead' then
    redis.call('ZREM', root .. 'dead', id)
    redis.call('HSET', call, 'st', 'ignored', 'rs', 'discarded', 'up', now)
    redis.call('ZADD', root .. 'ignored', now, id)
    redis.call('RPUSH', root .. 'story:' .. id, cjson.encode({at = now, what = 'discarded', was = reason, by = by, why = why}))
    redis.call('LTRIM', root .. 'story:' .. id, -100, -1)
    redis.call('XADD', root .. 'ledger', '*', 'id', id)
    moved[#moved + 1] = id
  end
end
return moved
