#!lua flags=allow-oom
-- reprobe: the call that was to try a paused account turned out not to be for the CRM at all: the next may try at once.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- Returns  1 if the account is paused, else 0
local root, account = KEYS[1], ARGV[1]
if not account or account == '' then return redis.error_reply('REPROBE wants an account') end
local key = root .. 'pause:' .. account
local every = tonumber(redis.call('HGET', key, 'every') or 0)
if every == 0 then return 0 end
local time = redis.call('TIME')
redis.call('HSET', key, 'probe_at', time[1] * 1000 + math.floor(time[2] / 1000), 'every', math.max(1, every / 2))
return 1
