#!lua flags=allow-oom
-- resume: ends an account's pause.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- Returns  ms for which it was paused, or -1 if it was not
local root, account = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = redis.call('HGET', root .. 'pause:' .. account, 'since')
if not since then return -1 end
redis.call('DEL', root .. 'pause:' .. account)
return math.max(0, now - since)
