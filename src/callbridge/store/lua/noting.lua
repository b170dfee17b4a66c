#!lua flags=allow-oom
-- noting: the last step before a note's bytes leave. From now on it may be on the card, and whoever gets it next looks there
-- first.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  note
-- ARGV[3]  fence under which it was taken
-- ARGV[4]  lease in ms, from now
-- Returns  1 if it is still ours, else 0
local root, account, name, fence, lease = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if not lease or lease <= 0 then return redis.error_reply('NOTING wants account, note, fence and lease') end

local note = root .. 'note:' .. name
if redis.call('HGET', note, 'fn') ~= fence then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSETNX', note, 'ps', now)
redis.call('ZADD', root .. 'late:' .. account, 'XX', now + lease, name)
return 1
