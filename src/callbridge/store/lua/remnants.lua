#!lua flags=allow-oom
-- remnants: lets go of the last that is left of forgotten calls. Their webhooks, should they come once more, are new ones.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  ms of the Redis clock: of calls that were forgotten before it
-- ARGV[2]  most calls in one go, 1 to 200
-- Returns  how many there were
local root, before, limit = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
if #ARGV ~= 2 or not before or before ~= before or not limit or limit < 1 or limit > 200 or limit ~= math.floor(limit) then
  return redis.error_reply('REMNANTS wants a time and a limit')
end

local ids = redis.call('ZRANGEBYSCORE', root .. 'remnants', '-inf', string.format('(%.0f', before), 'LIMIT', 0, limit)
for _, id in ipairs(ids) do
  local call = root .. 'call:' .. id
  for digest in string.gmatch(redis.call('HGET', call, 'kd') or '', '%S+') do redis.call('HDEL', root .. 'keys', digest) end
  redis.call('DEL', call)
  redis.call('ZREM', root .. 'remnants', id)
end
return #ids
