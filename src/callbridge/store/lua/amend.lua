#!lua flags=allow-oom
-- amend: an operator corrects a dead call, and it is sent again with a fresh budget, in the lane of bulk. What the PBX told is
-- kept beside it, once; nothing that the PBX repeats takes the correction's place any more. Who looked at an older version of
-- the call than stands here changes nothing, and neither does a repetition.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  id
-- ARGV[2]  ms of its last change as it was seen
-- ARGV[3]  content digest of the corrected call
-- ARGV[4]  digest of its new link, '' for none, '-' where the link was not touched
-- ARGV[5]  digest of its key, or '' where that is indexed: what could not be decoded had none
-- ARGV[6]  names of what was changed, for the story
-- ARGV[7]  who decides
-- ARGV[8]  why, or ''
-- ARGV[9]  envelope of the corrected call
-- Returns  {1, ''} done
--          {0, ''} it is not dead any more, may be in the CRM, or was changed meanwhile
--          {-1, id} the key is another call's
local root, id, seen, content, link, key = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local fields, by, why, envelope = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
if #ARGV ~= 9 or id == '' or not seen or content == '' or envelope == '' then return redis.error_reply('AMEND wants nine arguments') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local call, legs = root .. 'call:' .. id, root .. 'legs:' .. id
local state, account, reason, attempts, updated, received, digest =
  unpack(redis.call('HMGET', call, 'st', 'ac', 'rs', 'at', 'up', 'rc', 'dg'))
if state ~= 'dead' or reason == 'unknown_outcome' or tonumber(updated or received) ~= seen then return {0, ''} end
local holder = key ~= '' and redis.call('HGET', root .. 'keys', key)
if holder and holder ~= id then return {-1, holder} end
local before = redis.call('HGET', root .. 'bodies', id)
if not before then return {0, ''} end

-- Under its own digest too: so the PBX's repetition is known as one.
if redis.call('HSETNX', legs, 'original', before) == 1 then redis.call('HSETNX', legs, digest or '', before) end
redis.call('HSET', root .. 'bodies', id, envelope)
if key ~= '' then redis.call('HSET', root .. 'keys', key, id) end
redis.call('ZREM', root .. 'dead', id)
-- A call without a rank stands, whatever leg comes later.
redis.call('HDEL', call, 'rs', 'de', 'dt', 'us', 'lk', 'fs', 'rk')
redis.call('HSET', call, 'st', 'waiting', 'up', now, 'dg', content, 'bs', now, 'bu', 1)
if link ~= '-' then
  redis.call('HDEL', call, 'ln', 'lh')
  if link ~= '' then redis.call('HSET', call, 'lh', link) end
end
redis.call('ZADD', root .. 'bulk:' .. account, now, id)
if tonumber(attempts or 0) > 0 then redis.call('SADD', root .. 'retrying', id) end
local entry = {at = now, what = 'amended', was = reason, fields = fields, by = by, why = why ~= '' and why or nil}
redis.call('RPUSH', root .. 'story:' .. id, cjson.encode(entry))
redis.call('LTRIM', root .. 'story:' .. id, -100, -1)
redis.call('XADD', root .. 'ledger', '*', 'id', id)
return {1, ''}
