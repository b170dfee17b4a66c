#!lua flags=allow-oom
-- reclaim: takes calls back from workers that are gone. Claimed calls wait again; calls whose request may have left become
-- uncertain. Each gets a new fence, so that a worker that was only asleep is refused. A call whose worker died over it
-- again and again is tried alone, and then buried.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  most calls to take back in one go
-- ARGV[2]  ms until an uncertain call is looked for
-- ARGV[3]  deaths at which a call is buried
-- ARGV[4]  deaths from which on a call is claimed alone
-- Returns  how many went: waiting, uncertain, dead
local root, limit, look_in, fatal, suspect = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not limit or not look_in or not fatal or not suspect then return redis.error_reply('RECLAIM wants four numbers') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local went = {0, 0, 0}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', root .. 'leases', '-inf', now, 'LIMIT', 0, limit)) do
  local call = root .. 'call:' .. id
  local state, account, attempts, bulk, deaths = unpack(redis.call('HMGET', call, 'st', 'ac', 'at', 'bu', 'dt'))
  redis.call('ZREM', root .. 'leases', id)
  if state == 'claimed' or state == 'sending' then
    redis.call('HSET', call, 'fn', redis.call('INCR', root .. 'fence'))
  end
  local to = false
  if state == 'sending' then
    to = 'uncertain'
    went[2] = went[2] + 1
    redis.call('HSET', call, 'us', now, 'lk', 0, 'rs', 'lease_lapsed')
    redis.call('ZADD', root .. 'uncertain:' .. account, now + look_in, id)
  elseif state == 'claimed' and tonumber(deaths or 0) + 1 >= fatal then
    to = 'dead'
    went[3] = went[3] + 1
    redis.call('HSET', call, 'rs', 'kills_worker', 'dt', tonumber(deaths or 0) + 1)
    redis.call('ZADD', root .. 'dead', now, id)
  elseif state == 'claimed' then
    to = 'waiting'
    went[1] = went[1] + 1
    local lane = bulk and 'bulk:' or 'due:'
    if redis.call('HINCRBY', call, 'dt', 1) >= suspect then lane = 'alone:' end
    redis.call('ZADD', root .. lane .. account, now, id)
    if tonumber(attempts or 0) > 0 then redis.call('SADD', root .. 'retrying', id) end
  end
  if to then
    redis.call('HSET', call, 'st', to, 'up', now)
    redis.call('RPUSH', root .. 'story:' .. id, cjson.encode({at = now, what = to, reason = 'lease_lapsed', from = state}))
    redis.call('LTRIM', root .. 'story:' .. id, -100, -1)
    redis.call('XADD', root .. 'ledger', '*', 'id', id)
  end
end
return went
