#!lua flags=allow-oom
-- resolve: an operator decides about calls of which nobody can tell whether they are in the CRM: dead for that reason, or
-- uncertain for long enough. They are marked as delivered, or sent again at the risk of a double. Whoever looks for such a
-- call now loses it. What is neither any more stays as it is, so the first of two operators decides.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  'delivered' or 'resend'
-- ARGV[2]  who decides
-- ARGV[3]  why, or ''
-- ARGV[4]  ms for which an uncertain call must have been so; 0 for any
-- ARGV[5+] ids, at most 200
-- Returns  ids that were moved
local root, verdict, by, why, after = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if verdict ~= 'delivered' and verdict ~= 'resend' then return redis.error_reply('RESOLVE wants delivered or resend') end
if not after or after < 0 or #ARGV < 5 or #ARGV > 204 then return redis.error_reply('RESOLVE wants a time and 1 to 200 ids') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local moved = {}
for i = 5, #ARGV do
  local id = ARGV[i]
  local call = root .. 'call:' .. id
  local state, account, reason, since = unpack(redis.call('HMGET', call, 'st', 'ac', 'rs', 'us'))
  local dead = state == 'dead' and reason == 'unknown_outcome'
  if dead or (state == 'uncertain' and now - tonumber(since or now) >= after) then
    redis.call('ZREM', dead and (root .. 'dead') or (root .. 'uncertain:' .. account), id)
    redis.call('HDEL', call, 'fn', 'rs', 'de', 'dt', 'us', 'lk', 'ba', 'sn', 'bu')
    redis.call('HSET', call, 'up', now)
    if verdict == 'delivered' then
      redis.call('HSET', call, 'st', 'delivered', 'rs', 'marked_delivered')
      redis.call('HDEL', call, 'lt')
      redis.call('ZADD', root .. 'delivered', now, id)
    else
      -- Its first request stays known: notes are searched from there, should this one get no answer either.
      redis.call('HSET', call, 'st', 'waiting', 'bs', now, 'bu', 1)
      redis.call('ZADD', root .. 'bulk:' .. account, now, id)
      redis.call('SADD', root .. 'retrying', id)
    end
    local entry = {at = now, what = 'resolved', as = verdict, was = state, by = by, why = why ~= '' and why or nil}
    if verdict == 'resend' then entry.may_duplicate = true end
    redis.call('RPUSH', root .. 'story:' .. id, cjson.encode(entry))
    redis.call('LTRIM', root .. 'story:' .. id, -100, -1)
    redis.call('XADD', root .. 'ledger', '*', 'id', id)
    moved[#moved + 1] = id
  end
end
return moved
