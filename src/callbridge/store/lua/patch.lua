#!lua
-- patch: joins a recording's link to its call. What comes before its call is kept for it for a day; what comes after the
-- call was sent is noted in the call's story.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  source
-- ARGV[2]  recording digest, under which an early recording waits
-- ARGV[3]  link
-- ARGV[4+] digests of the call keys under which the call may stand; the first that is known counts
-- Returns  kind (patched | duplicate | kept), id or ''
local root, source, early, link = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if #ARGV < 4 or link == '' then return redis.error_reply('PATCH wants a link and a key') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id = false
for i = 4, #ARGV do
  id = id or redis.call('HGET', root .. 'keys', ARGV[i])
end

local kind = 'kept'
if not id then
  redis.call('SET', root .. 'recording:' .. early, link, 'EX', 86400)
else
  local call = root .. 'call:' .. id
  local state, account, known = unpack(redis.call('HMGET', call, 'st', 'ac', 'ln'))
  if known == link then
    kind = 'duplicate'
  else
    kind = 'patched'
    redis.call('HSET', call, 'ln', link)
    redis.call('RPUSH', root .. 'story:' .. id, cjson.encode({at = now, what = 'recording', state = state}))
    redis.call('LTRIM', root .. 'story:' .. id, -100, -1)
    if state == 'waiting' and not redis.call('HGET', call, 'fs') then
      redis.call('ZADD', root .. 'due:' .. account, 'XX', 'LT', now, id)
    end
  end
end
redis.call('HINCRBY', root .. 'counts', source .. ':recording', 1)
redis.call('HSET', root .. 'seen', source, now)
return {kind, id or ''}
