#!lua flags=allow-oom
-- unpark: an operator decides about parked calls before their next try. They are sent again at once, in the lane of bulk;
-- or so, and become incoming leads if the CRM still knows nobody; or are given up. What is not parked any more stays as it
-- is, so the first of two operators decides.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  'retry', 'lead' or 'give_up'
-- ARGV[2]  who decides
-- ARGV[3]  why, or ''
-- ARGV[4+] ids, at most 200
-- Returns  ids that were moved
local root, how, by, why = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local told = {retry = 'retried_by_hand', lead = 'lead_asked', give_up = 'given_up'}
if not told[how] then return redis.error_reply('UNPARK wants retry, lead or give_up') end
if #ARGV < 4 or #ARGV > 203 then return redis.error_reply('UNPARK wants 1 to 200 ids') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local moved = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local call = root .. 'call:' .. id
  local state, account, attempts, reason = unpack(redis.call('HMGET', call, 'st', 'ac', 'at', 'rs'))
  if state == 'parked' then
    redis.call('ZREM', root .. 'parked:' .. account, id)
    redis.call('HDEL', call, 'ld')
    redis.call('HSET', call, 'up', now)
    if how == 'give_up' then
      redis.call('HSET', call, 'st', 'unmatched', 'rs', 'no_matching_entity')
      redis.call('HDEL', call, 'de')
      redis.call('ZADD', root .. 'unmatched', now, id)
    else
      if how == 'lead' then redis.call('HSET', call, 'ld', 1) end
      redis.call('HSET', call, 'st', 'waiting', 'bu', 1)
      redis.call('ZADD', root .. 'bulk:' .. account, now, id)
      if tonumber(attempts or 0) > 0 then redis.call('SADD', root .. 'retrying', id) end
    end
    local entry = {at = now, what = told[how], was = reason, by = by, why = why ~= '' and why or nil}
    redis.call('RPUSH', root .. 'story:' .. id, cjson.encode(entry))
    redis.call('LTRIM', root .. 'story:' .. id, -100, -1)
    redis.call('XADD', root .. 'ledger', '*', 'id', id)
    moved[#moved + 1] = id
  end
end
return moved
