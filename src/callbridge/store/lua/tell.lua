#!lua flags=allow-oom
-- tell: puts the record of a request that settled no call on the ledger's stream. Told twice it is there twice; readers know it
-- by its id.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  record, JSON object
-- Returns  1
local root, batch = KEYS[1], ARGV[1]
if #ARGV ~= 1 or string.sub(batch, 1, 1) ~= '{' then return redis.error_reply('TELL wants an object') end
redis.call('XADD', root .. 'ledger', '*', 'batch', batch)
return 1
