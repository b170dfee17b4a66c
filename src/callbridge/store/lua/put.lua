#!lua
-- put: stores finished calls, each once. A call key seen before changes nothing but a counter.
-- Not allow-oom: at maxmemory the receiver must hear "no" while the drain goes on.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV     pairs: meta, envelope
--   meta   JSON array: key digest, id, account, source, state (waiting | dead), reason, hold ms, content digest,
--          recording digest
-- Returns  one pair per call: kind (stored | duplicate | variant), id under which it stands
-- Cost     O(log n) per call; callers send at most 200. What can be read or written for all calls at once is.
local root = KEYS[1]
if #ARGV == 0 or #ARGV % 2 ~= 0 then return redis.error_reply('PUT wants pairs') end
local metas, digests, recordings = {}, {}, {}
for i = 1, #ARGV, 2 do
  local meta = cjson.decode(ARGV[i])
  if type(meta) ~= 'table' or #meta ~= 9 or type(meta[7]) ~= 'number' or (meta[5] ~= 'waiting' and meta[5] ~= 'dead') then
    return redis.error_reply('PUT wants nine fields')
  end
  metas[#metas + 1] = meta
  digests[#digests + 1] = meta[1]
  recordings[#recordings + 1] = root .. 'recording:' .. meta[9]
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', root .. 'keys', unpack(digests))
local links = redis.call('MGET', unpack(recordings))
local fresh, answer = {}, {}
local keys, bodies, index, sets, accounts, counts, seen = {}, {}, {}, {}, {}, {}, {}

local function push(list, one, other)
  local size = #list
  list[size + 1], list[size + 2] = one, other
end

local function meet_again(id, content)
  local call = root .. 'call:' .. id
  if (fresh[id] or redis.call('HGET', call, 'dg')) == content then
    redis.call('HINCRBY', call, 'du', 1)
    return 'duplicate'
  end
  if redis.call('HINCRBY', call, 'va', 1) <= 10 then
    redis.call('RPUSH', root .. 'story:' .. id, cjson.encode({at = now, what = 'variant', content = content}))
  end
  return 'variant'
end

local function store(n, meta)
  local id, account, state, hold = meta[2], meta[3], meta[5], meta[7]
  -- Two calls of one second may share an id once in a lifetime: the later one gets a longer id.
  while redis.call('EXISTS', root .. 'call:' .. id) == 1 do id = id .. 'z' end
  local call, set = root .. 'call:' .. id, root .. state
  if state == 'waiting' then
    set = root .. 'due:' .. account
    if links[n] then
      redis.call('HSET', call, 'st', state, 'ac', account, 'so', meta[4], 'rc', now, 'dg', meta[8], 'ln', links[n])
      redis.call('DEL', recordings[n])
      hold = 0
    else
      redis.call('HSET', call, 'st', state, 'ac', account, 'so', meta[4], 'rc', now, 'dg', meta[8])
    end
  else
    redis.call('HSET', call, 'st', state, 'ac', account, 'so', meta[4], 'rc', now, 'dg', meta[8], 'rs', meta[6])
    hold = 0
  end
  fresh[id] = meta[8]
  sets[set] = sets[set] or {}
  push(sets[set], now + hold, id)
  push(keys, meta[1], id)
  push(bodies, id, ARGV[2 * n])
  push(index, now, id)
  accounts[account] = true
  return id
end

local here = {}
for n, meta in ipairs(metas) do
  local digest, source = meta[1], meta[4]
  local id, kind = known[n] or here[digest], 'stored'
  if id then
    kind = meet_again(id, meta[8])
  else
    id = store(n, meta)
    here[digest] = id
  end
  local count = source .. ':' .. kind
  counts[count] = (counts[count] or 0) + 1
  seen[source] = true
  push(answer, kind, id)
end

if #keys > 0 then
  redis.call('HSET', root .. 'keys', unpack(keys))
  redis.call('HSET', root .. 'bodies', unpack(bodies))
  redis.call('ZADD', root .. 'index', unpack(index))
  for set, members in pairs(sets) do redis.call('ZADD', set, unpack(members)) end
  for account in pairs(accounts) do redis.call('SADD', root .. 'accounts', account) end
end
for count, times in pairs(counts) do redis.call('HINCRBY', root .. 'counts', count, times) end
for source in pairs(seen) do redis.call('HSET', root .. 'seen', source, now) end
return answer
