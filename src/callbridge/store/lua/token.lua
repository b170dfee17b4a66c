#!lua flags=allow-oom
-- token: keeps an account's sealed token pair, unless a pair of this or a later generation is kept already.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  generation, a whole number from 1 on
-- ARGV[3]  sealed pair
-- Returns  1 where it was kept, 0 where a newer one stands
local root, account, generation, sealed = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
if account == '' or not generation or generation < 1 or generation > 1000000000000 or not sealed or sealed == '' then return redis.error_reply('TOKEN wants generation and pair') end
local key = root .. 'token:' .. account
if tonumber(redis.call('HGET', key, 'generation') or 0) >= generation then
  return redis.call('HGET', key, 'pair') == sealed and 1 or 0
end
redis.call('HSET', key, 'generation', generation, 'pair', sealed)
return 1
