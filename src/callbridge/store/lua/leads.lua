#!lua flags=allow-oom
-- leads: remembers for people why an account takes no incoming leads, for a day, or forgets it.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  why; '' where it takes them
-- Returns  1
local root, account, why = KEYS[1], ARGV[1], ARGV[2]
if not account or account == '' or not why then return redis.error_reply('LEADS wants account and why') end
if why == '' then
  redis.call('DEL', root .. 'closed:' .. account)
else
  redis.call('SET', root .. 'closed:' .. account, why, 'EX', 86400)
end
return 1
