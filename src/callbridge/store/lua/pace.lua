#!lua flags=allow-oom
-- pace: hands out the account's next free slot in time, to one request of any worker. Slots are evenly spaced and none is
-- saved up, so that no second holds more requests than configured, whoever sends them.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  microseconds between two slots
-- ARGV[3]  longest wait in microseconds for which a slot is worth reserving
-- Returns  {1, microseconds to wait for the reserved slot} or {0, microseconds after which to ask again}
local root, account, interval, patience = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if not interval or interval < 0 or not patience then return redis.error_reply('PACE wants interval and patience') end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local key = root .. 'pace:' .. account
local free, blocked = unpack(redis.call('HMGET', key, 'next', 'blocked_until'))
free, blocked = math.max(now, tonumber(free or 0)), tonumber(blocked or 0)
-- Further ahead than anybody asks for is a clock that jumped back.
if blocked > now and blocked - now <= 3600000000 then return {0, blocked - now} end
if free - now > 60000000 + interval then free = now end
if free - now > patience then return {0, free - now - patience} end
redis.call('HSET', key, 'next', string.format('%.0f', free + interval))
return {1, free - now}
