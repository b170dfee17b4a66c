#!lua
-- put: stores finished calls, each once. A call key seen before is a duplicate, or another leg of the call: a better one
-- takes the place of one that nobody has claimed or sent yet, any other is kept beside it. Id, due time and place in the
-- queue stay as they are. Of a call that is forgotten or erased nothing is stored again, however often it comes.
-- Not allow-oom: at maxmemory the receiver must hear "no" while the drain goes on.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV     pairs: meta, envelope
--   meta   JSON array: key digest, id, account, source, state (waiting | dead), reason, hold ms, content digest,
--          recording digest, rank, digest of its own recording's link or ''
-- Returns  one pair per call: kind (stored | duplicate | variant | folded), id under which it stands
-- Cost     O(log n) per call; callers send at most 200. What can be read or written for all calls at once is.
local root = KEYS[1]
if #ARGV == 0 or #ARGV % 2 ~= 0 then return redis.error_reply('PUT wants pairs') end
local metas, digests, recordings = {}, {}, {}
for i = 1, #ARGV, 2 do
  local meta = cjson.decode(ARGV[i])
  if type(meta) ~= 'table' or #meta ~= 11 or type(meta[7]) ~= 'number' or type(meta[10]) ~= 'number' or (meta[5] ~= 'waiting' and meta[5] ~= 'dead') then
    return redis.error_reply('PUT wants eleven fields')
  end
  metas[#metas + 1] = meta
  digests[#digests + 1] = meta[1]
  recordings[#recordings + 1] = root .. 'recording:' .. meta[9]
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', root .. 'keys', unpack(digests))
local links = redis.call('MGET', unpack(recordings))
local fresh, answer, most_legs = {}, {}, 10
local keys, bodies, index, sets, accounts, counts, seen, told = {}, {}, {}, {}, {}, {}, {}, {}

local function push(list, one, other)
  local size = #list
  list[size + 1], list[size + 2] = one, other
end

-- Another leg is kept whole, as a person may want to see it: ten of them, whatever a sender does.
local function keep_leg(id, content, envelope)
  local legs = root .. 'legs:' .. id
  if envelope and redis.call('HLEN', legs) < most_legs then
    redis.call('HSET', legs, content, envelope)
    return true
  end
  return false
end

local function tell(id, what, leg)
  redis.call('RPUSH', root .. 'story:' .. id, cjson.encode({at = now, what = what, leg = leg}))
  redis.call('LTRIM', root .. 'story:' .. id, -100, -1)
end

local function fold(n, id, meta, replaced)
  local call, place = root .. 'call:' .. id, fresh[id]
  if redis.call('HDEL', root .. 'legs:' .. id, meta[8]) == 0 then redis.call('HINCRBY', call, 'va', 1) end
  keep_leg(id, replaced, place and bodies[place] or redis.call('HGET', root .. 'bodies', id))
  if place then bodies[place] = ARGV[2 * n] else redis.call('HSET', root .. 'bodies', id, ARGV[2 * n]) end
  redis.call('HSET', call, 'dg', meta[8], 'rk', meta[10], 'up', now)
  -- A link that a recording event brought stays the call's; else the link is the leg's own.
  if redis.call('HEXISTS', call, 'ln') == 0 then
    if meta[11] ~= '' then redis.call('HSET', call, 'lh', meta[11]) else redis.call('HDEL', call, 'lh') end
  end
  tell(id, 'folded', replaced)
end

local function meet_again(n, id, meta)
  local call, content = root .. 'call:' .. id, meta[8]
  local known, state, attempts, rank, forgotten = unpack(redis.call('HMGET', call, 'dg', 'st', 'at', 'rk', 'fg'))
  -- A key that outlived its call holds nobody's place.
  if not state then return false end
  -- A tombstone does not even know what it was told before.
  if known == content or state == 'erased' then
    redis.call('HINCRBY', call, 'du', 1)
    return 'duplicate'
  end
  -- Without a rank it was stored by a version that did not know legs: it stands.
  if state == 'waiting' and tonumber(attempts or 0) == 0 and rank and meta[10] > tonumber(rank) then
    fold(n, id, meta, known)
    return 'folded'
  end
  if redis.call('HEXISTS', root .. 'legs:' .. id, content) == 1 then
    redis.call('HINCRBY', call, 'du', 1)
    return 'duplicate'
  end
  redis.call('HINCRBY', call, 'va', 1)
  if not forgotten and keep_leg(id, content, ARGV[2 * n]) then tell(id, 'variant', content) end
  return 'variant'
end

local function store(n, meta)
  local id, account, state, hold = meta[2], meta[3], meta[5], meta[7]
  -- Two calls of one second may share an id once in a lifetime: the later one gets a longer id.
  while redis.call('EXISTS', root .. 'call:' .. id) == 1 do id = id .. 'z' end
  local call, set = root .. 'call:' .. id, root .. state
  redis.call('HSET', call, 'st', state, 'ac', account, 'so', meta[4], 'rc', now, 'dg', meta[8], 'rk', meta[10])
  if state == 'waiting' then
    set = root .. 'due:' .. account
    if meta[11] ~= '' then redis.call('HSET', call, 'lh', meta[11]) end
    if links[n] then
      local digest, link = string.match(links[n], '^(%S+) (%S+)$')
      redis.call('HSET', call, 'lh', digest or '', 'ln', link or links[n])
      redis.call('DEL', recordings[n])
      -- It need not wait for its recording any more; a missed leg goes on waiting for a better one.
      if meta[10] > 0 then hold = 0 end
    end
  else
    redis.call('HSET', call, 'rs', meta[6])
    hold = 0
  end
  sets[set] = sets[set] or {}
  push(sets[set], now + hold, id)
  push(keys, meta[1], id)
  push(bodies, id, ARGV[2 * n])
  fresh[id] = #bodies
  push(index, now, id)
  accounts[account] = true
  return id
end

local here = {}
for n, meta in ipairs(metas) do
  local digest, source = meta[1], meta[4]
  local id, kind = here[digest] or known[n], false
  if id then kind = meet_again(n, id, meta) end
  if not kind then
    id, kind = store(n, meta), 'stored'
    here[digest] = id
  end
  local count = source .. ':' .. kind
  counts[count] = (counts[count] or 0) + 1
  seen[source] = true
  if not told[id] then
    told[id], told[#told + 1] = true, id
  end
  push(answer, kind, id)
end

if #keys > 0 then
  redis.call('HSET', root .. 'keys', unpack(keys))
  redis.call('HSET', root .. 'bodies', unpack(bodies))
  redis.call('ZADD', root .. 'index', unpack(index))
  for set, members in pairs(sets) do redis.call('ZADD', set, unpack(members)) end
  for account in pairs(accounts) do redis.call('SADD', root .. 'accounts', account) end
end
for _, id in ipairs(told) do redis.call('XADD', root .. 'ledger', '*', 'id', id) end
for count, times in pairs(counts) do redis.call('HINCRBY', root .. 'counts', count, times) end
for source in pairs(seen) do redis.call('HSET', root .. 'seen', source, now) end
return answer
