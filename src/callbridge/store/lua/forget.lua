#!lua flags=allow-oom
-- forget: lets go of calls that ended for good, once the ledger has them. What is left of each is what it takes to know its
-- webhook when it comes again. A call whose card still waits for a recording's note is kept.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV     pairs: id, digests of the keys under which it may stand, separated by spaces; at most 200 calls
-- Returns  ids that are forgotten now, some perhaps since before
local root = KEYS[1]
if #ARGV == 0 or #ARGV > 400 or #ARGV % 2 ~= 0 then return redis.error_reply('FORGET wants 1 to 200 pairs') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ended = {delivered = true, unmatched = true, ignored = true}
local gone = {}
for i = 1, #ARGV, 2 do
  local id, digests = ARGV[i], ARGV[i + 1]
  local call = root .. 'call:' .. id
  local facts = redis.call('HMGET', call, 'st', 'fg', 'nt', 'ac', 'so', 'rc', 'dg', 'up', 'du', 'va')
  local state, forgotten, noted = facts[1], facts[2], false
  for digest in string.gmatch(facts[3] or '', '%S+') do
    noted = noted or redis.call('EXISTS', root .. 'note:' .. id .. '.' .. digest) == 1
  end
  if forgotten then
    gone[#gone + 1] = id
  elseif ended[state] and not noted then
    local known = {}
    for digest in string.gmatch(digests, '%S+') do
      if redis.call('HGET', root .. 'keys', digest) == id then known[#known + 1] = digest end
    end
    redis.call('DEL', call, root .. 'story:' .. id, root .. 'legs:' .. id)
    redis.call('HDEL', root .. 'bodies', id)
    redis.call('ZREM', root .. 'index', id)
    redis.call('ZREM', root .. state, id)
    redis.call('HSET', call, 'st', state, 'ac', facts[4], 'so', facts[5], 'rc', facts[6], 'fg', now, 'kd', table.concat(known, ' '))
    for place, field in pairs({[7] = 'dg', [8] = 'up', [9] = 'du', [10] = 'va'}) do
      if facts[place] then redis.call('HSET', call, field, facts[place]) end
    end
    redis.call('HINCRBY', root .. 'forgotten', state, 1)
    redis.call('ZADD', root .. 'remnants', now, id)
    redis.call('XADD', root .. 'ledger', '*', 'id', id)
    gone[#gone + 1] = id
  end
end
return gone
