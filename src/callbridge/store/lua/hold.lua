#!lua flags=allow-oom
-- hold: a person pauses the account: it gives out nothing, not even a probe, until it is resumed or the time ends.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  reason, the code of pauses by hand
-- ARGV[3]  detail: what the person gave as the reason
-- ARGV[4]  owner: who it was
-- ARGV[5]  ms after which it ends by itself; 0: it does not
-- Returns  1 if nobody held the account before, else 0: owner, detail and end are the new ones, the beginning is kept
local root, account, reason, detail, owner, ms = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if not ms or ms < 0 or ms > 31622400000 then return redis.error_reply('HOLD wants a time') end
if not owner or owner == '' or account == '' or reason == '' then return redis.error_reply('HOLD wants an account, a reason and an owner') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local key = root .. 'pause:' .. account
local before, since, ends = unpack(redis.call('HMGET', key, 'owner', 'since', 'until'))
local held = before and (not ends or tonumber(ends) > now)
redis.call('DEL', key)
redis.call('HSET', key, 'reason', reason, 'detail', detail, 'owner', owner, 'since', held and since or now)
if ms > 0 then redis.call('HSET', key, 'until', now + ms) end
redis.call('SADD', root .. 'accounts', account)
return held and 0 or 1
