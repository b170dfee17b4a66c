#!lua flags=allow-oom
-- slow: no request to the account before the given time: the CRM asked for it, or does not answer. Counts how often in a
-- row; requests that were under way together count as one.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  ms from now
-- ARGV[3]  why, for people
-- Returns  ms from now until which the account is slowed, which may be longer already
local root, account, wait, why = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
if not wait or wait < 0 or not why then return redis.error_reply('SLOW wants ms and why') end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local key = root .. 'pace:' .. account
local blocked = tonumber(redis.call('HGET', key, 'blocked_until') or 0)
if blocked <= now then redis.call('HINCRBY', key, 'failures', 1) end
blocked = math.max(blocked, now + wait * 1000)
redis.call('HSET', key, 'blocked_until', string.format('%.0f', blocked), 'why', why)
return math.ceil((blocked - now) / 1000)
