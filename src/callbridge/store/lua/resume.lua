#!lua flags=allow-oom
-- resume: ends an account's pause, unless it is another one than was meant.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  reason of the pause that is to end; '' for any
-- Returns  ms for which it was paused, or -1 if it was not
local root, account, reason = KEYS[1], ARGV[1], ARGV[2]
if not account or account == '' or not reason then return redis.error_reply('RESUME wants an account and a reason') end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = redis.call('HGET', root .. 'pause:' .. account, 'since')
if not since then return -1 end
if reason ~= '' and redis.call('HGET', root .. 'pause:' .. account, 'reason') ~= reason then return -1 end
redis.call('DEL', root .. 'pause:' .. account)
return math.max(0, now - since)
