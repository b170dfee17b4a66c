#!lua
-- put: stores finished calls, each once. A call key seen before changes nothing but a counter.
-- Not allow-oom: at maxmemory the receiver must hear "no" while the drain goes on.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV     pairs: meta, envelope
--   meta   JSON array: key digest, id, account, source, state (waiting | dead), reason, hold ms, content digest,
--          recording digest
-- Returns  one pair per call: kind (stored | duplicate | variant), id under which it stands
-- Cost     O(log n) per call; callers send at most 200
local root = KEYS[1]
if #ARGV == 0 or #ARGV % 2 ~= 0 then return redis.error_reply('PUT wants pairs') end
local metas = {}
for i = 1, #ARGV, 2 do
  local meta = cjson.decode(ARGV[i])
  if type(meta) ~= 'table' or #meta ~= 9 or type(meta[7]) ~= 'number' or (meta[5] ~= 'waiting' and meta[5] ~= 'dead') then
    return redis.error_reply('PUT wants nine fields')
  end
  metas[#metas + 1] = meta
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = {}
for n, meta in ipairs(metas) do
  local digest, id, account, source, state, reason = meta[1], meta[2], meta[3], meta[4], meta[5], meta[6]
  local hold, content, recording = meta[7], meta[8], meta[9]
  local known = redis.call('HGET', root .. 'keys', digest)
  local kind = 'stored'
  if known then
    id = known
    local call = root .. 'call:' .. id
    if redis.call('HGET', call, 'dg') == content then
      kind = 'duplicate'
      redis.call('HINCRBY', call, 'du', 1)
    else
      kind = 'variant'
      if redis.call('HINCRBY', call, 'va', 1) <= 10 then
        redis.call('RPUSH', root .. 'story:' .. id, cjson.encode({at = now, what = 'variant', content = content}))
      end
    end
  else
    local call = root .. 'call:' .. id
    redis.call('HSET', root .. 'keys', digest, id)
    redis.call('HSET', root .. 'bodies', id, ARGV[2 * n])
    redis.call('HSET', call, 'st', state, 'ac', account, 'so', source, 'rc', now, 'dg', content)
    redis.call('ZADD', root .. 'index', now, id)
    redis.call('SADD', root .. 'accounts', account)
    if state == 'waiting' then
      local link = redis.call('GETDEL', root .. 'recording:' .. recording)
      if link then
        redis.call('HSET', call, 'ln', link)
        hold = 0
      end
      redis.call('ZADD', root .. 'due:' .. account, now + hold, id)
    else
      redis.call('HSET', call, 'rs', reason)
      redis.call('ZADD', root .. state, now, id)
    end
  end
  redis.call('HINCRBY', root .. 'counts', source .. ':' .. kind, 1)
  redis.call('HSET', root .. 'seen', source, now)
  answer[#answer + 1] = kind
  answer[#answer + 1] = id
end
return answer
