#!lua flags=allow-oom
-- lock: lets one owner at a time refresh an account's token, and lets go of it.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  owner
-- ARGV[3]  ms for which it is held; 0 lets go of it
-- Returns  1 where the owner holds it (or held it, and let go), 0 where somebody else does
local root, account, owner, ms = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
if account == '' or not ms or ms < 0 or ms > 3600000 or not owner or owner == '' then return redis.error_reply('LOCK wants an owner and a time') end
local key = root .. 'refresh:' .. account
local holder = redis.call('GET', key)
if holder and holder ~= owner then return 0 end
if ms == 0 then
  redis.call('DEL', key)
else
  redis.call('SET', key, owner, 'PX', ms)
end
return 1
