#!lua
-- count: remembers that authenticated events came which are not about a finished call.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV     source of each event
-- Returns  how many were counted
local root = KEYS[1]
if #ARGV == 0 then return redis.error_reply('COUNT wants a source') end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, source in ipairs(ARGV) do
  redis.call('HINCRBY', root .. 'counts', source .. ':ignored', 1)
  redis.call('HSET', root .. 'seen', source, now)
end
return #ARGV
