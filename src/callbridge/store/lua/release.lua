#!lua flags=allow-oom
-- release: puts claimed or sending calls back as if nothing had happened, because nothing did: no byte left, or the CRM
-- turned the request away unread. No story entry, no attempt. What a call of an earlier batch was marked for was sent.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  fence
-- ARGV[2]  batch that was not sent, or ''
-- ARGV[3+] ids
-- Returns  how many were put back
local root, fence, batch = KEYS[1], ARGV[1], ARGV[2]
if #ARGV < 3 then return redis.error_reply('RELEASE wants ids') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local released = 0
for i = 3, #ARGV do
  local id = ARGV[i]
  local call = root .. 'call:' .. id
  local state, held, account, attempts, marked, bulk = unpack(redis.call('HMGET', call, 'st', 'fn', 'ac', 'at', 'ba', 'bu'))
  if held == fence and (state == 'claimed' or state == 'sending') then
    attempts = tonumber(attempts or 0)
    if state == 'sending' and marked == batch and attempts > 0 then
      attempts = redis.call('HINCRBY', call, 'at', -1)
      if attempts == 0 then redis.call('HDEL', call, 'fs') end
    end
    redis.call('HDEL', call, 'ba', 'dt')
    redis.call('HSET', call, 'st', 'waiting')
    redis.call('ZREM', root .. 'leases', id)
    -- Its old place in the queue: one clock tick ago at the latest, so that it goes before newer calls.
    redis.call('ZADD', root .. (bulk and 'bulk:' or 'due:') .. account, math.min(now - 1, tonumber(redis.call('HGET', call, 'rc') or now)), id)
    if attempts > 0 then redis.call('SADD', root .. 'retrying', id) end
    -- Who read it meanwhile has seen it on its way.
    redis.call('XADD', root .. 'ledger', '*', 'id', id)
    released = released + 1
  end
end
return released
