#!lua flags=allow-oom
-- tell: puts the record of a request that settled no call on the ledger's stream. Told twice it is there twice; readers know it
-- by its id. Where nobody has read for long it is left out: bodies of requests would fill the memory.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  record, JSON object
-- Returns  1 if it was put there, else 0
local root, batch = KEYS[1], ARGV[1]
if #ARGV ~= 1 or string.sub(batch, 1, 1) ~= '{' then return redis.error_reply('TELL wants an object') end
if redis.call('XLEN', root .. 'ledger') >= 200000 then return 0 end
redis.call('XADD', root .. 'ledger', '*', 'batch', batch)
return 1
