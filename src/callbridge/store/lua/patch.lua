#!lua
-- patch: joins a recording's link to its call. What comes before its call is kept for it for a day. What comes after the call
-- was sent is told in its story; if it is asked for, a note with it goes to the card, at once where the call is delivered,
-- else as soon as it turns out to be. A recording is noted once, ten of them a call; a link to it that was signed anew only
-- takes the place of the one that the call has. To a call that is forgotten or erased nothing is joined.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  source
-- ARGV[2]  recording digest, under which an early recording waits
-- ARGV[3]  link
-- ARGV[4]  digest of the recording that the link leads to
-- ARGV[5]  1: add a note where the call is in the CRM already
-- ARGV[6]  1: a webhook of its own; 0: brought by a repetition of the call's
-- ARGV[7+] digests of the call keys under which the call may stand; the first that is known counts
-- Returns  kind (patched | duplicate | kept | counted), id or ''
local root, source, early, link, digest, note, counted = KEYS[1], unpack(ARGV, 1, 6)
if #ARGV < 7 or link == '' or digest == '' then return redis.error_reply('PATCH wants a link and a key') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id = false
for i = 7, #ARGV do
  id = id or redis.call('HGET', root .. 'keys', ARGV[i])
end

-- What the card has already, or will have: the link before this one, and all that were noted.
local function is_told(call, before)
  local told = redis.call('HGET', call, 'nt') or ''
  local known = string.find(told, digest, 1, true) or select(2, string.gsub(told, '%S+', '')) >= 10
  if before and not string.find(told, before, 1, true) then told = told .. before .. ' ' end
  if not known then told = told .. digest .. ' ' end
  redis.call('HSET', call, 'nt', told)
  return known
end

local kind = 'kept'
if not id then
  redis.call('SET', root .. 'recording:' .. early, digest .. ' ' .. link, 'EX', 86400)
else
  local call = root .. 'call:' .. id
  local state, account, known, standing, rank, forgotten = unpack(redis.call('HMGET', call, 'st', 'ac', 'ln', 'lh', 'rk', 'fg'))
  if forgotten or state == 'erased' then
    kind = 'counted'
  elseif standing == digest or known == link then
    kind = 'duplicate'
    if known and known ~= link then
      redis.call('HSET', call, 'ln', link)
      redis.call('XADD', root .. 'ledger', '*', 'id', id)
    end
  else
    kind = 'patched'
    redis.call('HSET', call, 'ln', link, 'lh', digest)
    redis.call('RPUSH', root .. 'story:' .. id, cjson.encode({at = now, what = 'recording', state = state}))
    redis.call('LTRIM', root .. 'story:' .. id, -100, -1)
    if state == 'waiting' then
      -- A missed leg goes on waiting for a better one. Without a rank it was stored before there were legs.
      if tonumber(rank or 1) > 0 and not redis.call('HGET', call, 'fs') then
        redis.call('ZADD', root .. 'due:' .. account, 'XX', 'LT', now, id)
      end
    elseif note == '1' and not is_told(call, standing) then
      if state == 'delivered' then
        local name = id .. '.' .. digest
        redis.call('HSET', root .. 'note:' .. name, 'id', id, 'ln', link, 'cr', now)
        redis.call('ZADD', root .. 'late:' .. account, now, name)
      else
        -- Its item may have left without the link: settle sees to it when it is delivered, claim takes the next with it.
        redis.call('HSET', call, 'lt', (redis.call('HGET', call, 'lt') or '') .. digest .. ':' .. link .. ' ')
      end
    end
    redis.call('XADD', root .. 'ledger', '*', 'id', id)
  end
end
if counted == '1' then
  redis.call('HINCRBY', root .. 'counts', source .. ':recording', 1)
  redis.call('HSET', root .. 'seen', source, now)
end
return {kind, id or ''}
