#!lua flags=allow-oom
-- erase: takes everything out of calls that tells whom they were with. What stays is a tombstone: its webhook, should it come
-- again, is known and not stored, and nothing leads from here to another state. Whoever looks for such a call loses it. A call
-- that a worker has is left alone: its request may leave this moment.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV     pairs: id, digest under which a recording that came early may wait, or ''; at most 200 calls
-- Returns  ids that are erased now, some perhaps since before
local root = KEYS[1]
if #ARGV == 0 or #ARGV > 400 or #ARGV % 2 ~= 0 then return redis.error_reply('ERASE wants 1 to 200 pairs') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local per_account = {waiting = {'due:', 'bulk:', 'alone:'}, uncertain = {'uncertain:'}, parked = {'parked:'}}
local ended = {delivered = true, unmatched = true, dead = true, ignored = true}
local erased = {}
for i = 1, #ARGV, 2 do
  local id, early = ARGV[i], ARGV[i + 1]
  local call = root .. 'call:' .. id
  local state, account, source, received, forgotten, noted = unpack(redis.call('HMGET', call, 'st', 'ac', 'so', 'rc', 'fg', 'nt'))
  if state == 'erased' then
    erased[#erased + 1] = id
  elseif per_account[state] or ended[state] then
    for _, set in ipairs(per_account[state] or {}) do redis.call('ZREM', root .. set .. account, id) end
    if state == 'waiting' then redis.call('SREM', root .. 'retrying', id) end
    if forgotten then
      redis.call('HINCRBY', root .. 'forgotten', state, -1)
      redis.call('ZREM', root .. 'remnants', id)
    elseif ended[state] then
      redis.call('ZREM', root .. state, id)
    end
    for digest in string.gmatch(noted or '', '%S+') do
      redis.call('DEL', root .. 'note:' .. id .. '.' .. digest)
      redis.call('ZREM', root .. 'late:' .. account, id .. '.' .. digest)
    end
    if early ~= '' then redis.call('DEL', root .. 'recording:' .. early) end
    redis.call('HDEL', root .. 'bodies', id)
    redis.call('DEL', call, root .. 'legs:' .. id, root .. 'story:' .. id)
    redis.call('HSET', call, 'st', 'erased', 'ac', account, 'so', source, 'rc', received, 'up', now)
    redis.call('ZADD', root .. 'index', received, id)
    redis.call('ZADD', root .. 'erased', now, id)
    redis.call('RPUSH', root .. 'story:' .. id, cjson.encode({at = now, what = 'erased'}))
    redis.call('XADD', root .. 'ledger', '*', 'id', id)
    erased[#erased + 1] = id
  end
end
return erased
