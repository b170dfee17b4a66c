#!lua flags=allow-oom
-- steady: the account answers again; forgets why it was slowed and how often.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- Returns  how many failures in a row were forgotten
local root, account = KEYS[1], ARGV[1]
if not account or account == '' then return redis.error_reply('STEADY wants an account') end
local key = root .. 'pace:' .. account
local failures = tonumber(redis.call('HGET', key, 'failures') or 0)
if failures > 0 then redis.call('HDEL', key, 'failures', 'why') end
return failures
