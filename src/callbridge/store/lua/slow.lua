#!lua flags=allow-oom
-- slow: no request to the account before the given time: the CRM asked for it, or does not answer.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  ms from now
-- Returns  ms from now until which the account is slowed, which may be longer already
local root, account, wait = KEYS[1], ARGV[1], tonumber(ARGV[2])
if not wait or wait < 0 then return redis.error_reply('SLOW wants ms') end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local key = root .. 'pace:' .. account
local blocked = math.max(tonumber(redis.call('HGET', key, 'blocked_until') or 0), now + wait * 1000)
redis.call('HSET', key, 'blocked_until', string.format('%.0f', blocked))
return math.ceil((blocked - now) / 1000)
