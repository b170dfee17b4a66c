#!lua flags=allow-oom
-- settle: moves each call of a claim (or of a look) to where its outcome belongs, in one step with its lease, its schedule
-- and its story, and tells the ledger. A recording that came while a call was on its way is handed on to be noted. A call
-- whose fence is not ours any more is left alone. Doing it twice changes nothing: the first time takes the fence away; only
-- the record of the request, which readers know by its id, is told again.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  fence
-- ARGV[2]  facts of the request for the story, JSON object
-- ARGV[3]  record of the request for the ledger, JSON object; '' for none
-- ARGV[4+] per call, JSON array: id, state, reason or '', delay ms, detail or '', note id or 0,
--          entity type or '', entity id or 0, looks so far
-- Returns  ids that were refused as stale
local root, fence, batch = KEYS[1], ARGV[1], ARGV[3]
local moves = {
  claimed = {waiting = true, dead = true, ignored = true},
  sending = {waiting = true, uncertain = true, parked = true, delivered = true, unmatched = true, dead = true},
  uncertain = {uncertain = true, delivered = true, waiting = true, dead = true},
}
if #ARGV < 4 then return redis.error_reply('SETTLE wants facts, a record and calls') end
local facts = cjson.decode(ARGV[2])
if type(facts) ~= 'table' then return redis.error_reply('SETTLE wants facts as an object') end
if batch ~= '' and string.sub(batch, 1, 1) ~= '{' then return redis.error_reply('SETTLE wants the record as an object') end
local items = {}
for i = 4, #ARGV do
  local item = cjson.decode(ARGV[i])
  if type(item) ~= 'table' or #item ~= 9 or type(item[4]) ~= 'number' then return redis.error_reply('SETTLE wants nine fields') end
  items[#items + 1] = item
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stale = {}
for _, item in ipairs(items) do
  local id, state, reason, delay, detail = item[1], item[2], item[3], item[4], item[5]
  local call = root .. 'call:' .. id
  local from, held, account, attempts, bulk = unpack(redis.call('HMGET', call, 'st', 'fn', 'ac', 'at', 'bu'))
  if held ~= fence or not moves[from] or not moves[from][state] then
    stale[#stale + 1] = id
  else
    redis.call('ZREM', from == 'uncertain' and (root .. 'uncertain:' .. account) or (root .. 'leases'), id)
    redis.call('HSET', call, 'st', state, 'up', now)
    redis.call('HDEL', call, 'fn', 'dt', 'rs', 'de')
    -- With an uncertain call it stays known what it left with.
    if state ~= 'uncertain' and not (state == 'dead' and reason == 'unknown_outcome') then redis.call('HDEL', call, 'ba', 'sn') end
    if reason ~= '' then redis.call('HSET', call, 'rs', reason) end
    if detail ~= '' then redis.call('HSET', call, 'de', detail) end
    if state == 'waiting' then
      redis.call('HDEL', call, 'us', 'lk')
      redis.call('ZADD', root .. (bulk and 'bulk:' or 'due:') .. account, now + delay, id)
      if tonumber(attempts or 0) > 0 then redis.call('SADD', root .. 'retrying', id) end
    elseif state == 'parked' then
      redis.call('HINCRBY', call, 'pk', 1)
      redis.call('ZADD', root .. 'parked:' .. account, now + delay, id)
    elseif state == 'uncertain' then
      redis.call('HSETNX', call, 'us', now)
      redis.call('HSET', call, 'lk', item[9])
      redis.call('ZADD', root .. 'uncertain:' .. account, now + delay, id)
    else
      if state == 'delivered' then
        redis.call('HSET', call, 'ni', item[6], 'et', item[7], 'ei', item[8])
        for digest, link in string.gmatch(redis.call('HGET', call, 'lt') or '', '([^:%s]+):(%S+)') do
          redis.call('HSET', root .. 'note:' .. id .. '.' .. digest, 'id', id, 'ln', link, 'cr', now)
          redis.call('ZADD', root .. 'late:' .. account, now, id .. '.' .. digest)
        end
        redis.call('HDEL', call, 'lt')
      end
      redis.call('ZADD', root .. state, now, id)
    end
    local entry = {at = now, what = state, reason = reason ~= '' and reason or nil, detail = detail ~= '' and detail or nil}
    for name, value in pairs(facts) do entry[name] = value end
    redis.call('RPUSH', root .. 'story:' .. id, cjson.encode(entry))
    redis.call('LTRIM', root .. 'story:' .. id, -100, -1)
    redis.call('XADD', root .. 'ledger', '*', 'id', id)
  end
end
-- Nobody has read for long: what calls became is told, bodies of requests would fill the memory.
if batch ~= '' and redis.call('XLEN', root .. 'ledger') < 200000 then redis.call('XADD', root .. 'ledger', '*', 'batch', batch) end
return stale
