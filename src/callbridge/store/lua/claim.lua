#!lua flags=allow-oom
-- claim: takes due calls of one account under a lease and a new fence, the oldest of each lane first. A slowed account gives
-- nothing, a paused one nothing or one call when its probe is due, one whose breaker is open a few for its trial.
--
-- Lanes: `due` are live calls; `bulk` are calls that were replayed or revived, perhaps by thousands: a fifth of a claim is
-- theirs while live calls are due, and what live calls leave. `alone` are calls over which workers died: one at a time, and
-- nothing beside it.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  most calls to take, 1 to 250
-- ARGV[3]  lease in ms
-- ARGV[4]  most calls in a trial
-- Returns  {'none', now, ms until the next call is due or -1}
--          {'paused' | 'slowed', now, ms until it is worth asking again}
--          {'calls' | 'probe', now, fence, failures in a row, pause reason or '', trial 0 | 1, troubled 0 | 1, then per call: id, attempts, parks, waiting
--          since, first sent or '', link or '', incoming lead asked for 0 | 1, envelope}
-- Cost     O(taken * log n), whatever waits
local root, account, size, lease, trial_size = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not size or size < 1 or size > 250 or not lease or lease <= 0 or not trial_size or trial_size < 1 then
  return redis.error_reply('CLAIM wants size, lease and trial size')
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due, bulk, alone = root .. 'due:' .. account, root .. 'bulk:' .. account, root .. 'alone:' .. account
local key, pause = root .. 'pace:' .. account, root .. 'pause:' .. account

local blocked, failures, opened, share, trial_until, suspect =
  unpack(redis.call('HMGET', key, 'blocked_until', 'failures', 'opened', 'share', 'trial_until', 'suspect'))
blocked, failures = tonumber(blocked or 0) / 1000, tonumber(failures or 0)
-- Further ahead than anybody asks for is a clock that jumped back.
if blocked > now and blocked - now <= 3600000 then return {'slowed', now, math.ceil(blocked - now)} end
if opened then
  local lasts = tonumber(trial_until or 0) - now
  if lasts > 0 and lasts <= 3600000 then return {'slowed', now, lasts} end
  size = math.min(size, trial_size)
end

local what = 'calls'
local probe_at, reason, owner, ends = unpack(redis.call('HMGET', pause, 'probe_at', 'reason', 'owner', 'until'))
if owner then
  if not ends then return {'paused', now, 3600000} end
  if tonumber(ends) > now then return {'paused', now, tonumber(ends) - now} end
  redis.call('DEL', pause)
  reason = nil
end
if probe_at then
  if tonumber(probe_at) > now and tonumber(probe_at) - now <= tonumber(redis.call('HGET', pause, 'at_most')) then
    return {'paused', now, tonumber(probe_at) - now}
  end
  what, size = 'probe', 1
end

local function oldest(lane, most)
  return redis.call('ZRANGEBYSCORE', lane, '-inf', now, 'LIMIT', 0, most)
end
local live, later, suspects = oldest(due, size), oldest(bulk, size), oldest(alone, 1)
local busy_for = 0
if suspects[1] and suspect then
  local id, fence = string.match(suspect, '^(%S+) (%S+)$')
  local state, held = unpack(redis.call('HMGET', root .. 'call:' .. (id or ''), 'st', 'fn'))
  if held == fence and (state == 'claimed' or state == 'sending') then
    suspects = {}
    busy_for = math.max(1, math.ceil(tonumber(redis.call('ZSCORE', root .. 'leases', id) or now) - now))
  end
end

if #live + #later + #suspects == 0 then
  local wait = -1
  for _, lane in ipairs({due, bulk, alone}) do
    local first = redis.call('ZRANGE', lane, 0, 0, 'WITHSCORES')
    if first[2] then
      local ask = math.max(lane == alone and busy_for or 0, math.ceil(first[2] - now))
      if wait < 0 or ask < wait then wait = ask end
    end
  end
  return {'none', now, wait}
end

local taken = {[due] = live, [bulk] = later}
local function take(from, count)
  local part = {}
  for i = 1, count do part[i] = from[i] end
  return part
end
-- Where only one of two can go, every fifth turn is the other's.
local function other_turn()
  return redis.call('HINCRBY', key, 'turn', 1) % 5 == 0
end
if suspects[1] and (#live + #later == 0 or other_turn()) then
  taken = {[alone] = suspects}
elseif #live > 0 and #later > 0 then
  local theirs = math.max(math.ceil(size / 5), size - #live)
  if size == 1 then theirs = other_turn() and 1 or 0 end
  theirs = math.min(#later, theirs)
  taken = {[due] = take(live, math.min(#live, size - theirs)), [bulk] = take(later, theirs)}
end

local fence = redis.call('INCR', root .. 'fence')
if what == 'probe' then
  local every, at_most = unpack(redis.call('HMGET', pause, 'every', 'at_most'))
  every = math.min(tonumber(every) * 2, tonumber(at_most))
  redis.call('HSET', pause, 'every', every, 'probe_at', now + every)
end
local ids = {}
for _, lane in ipairs({due, bulk, alone}) do
  if taken[lane] and #taken[lane] > 0 then
    redis.call('ZREM', lane, unpack(taken[lane]))
    for _, id in ipairs(taken[lane]) do ids[#ids + 1] = id end
  end
end
if taken[alone] then redis.call('HSET', key, 'suspect', ids[1] .. ' ' .. fence) end
redis.call('SREM', root .. 'retrying', unpack(ids))
local bodies = redis.call('HMGET', root .. 'bodies', unpack(ids))
local troubled = (failures > 0 or opened or share) and 1 or 0
local leased, answer = {}, {what, now, fence, failures, reason or '', opened and 1 or 0, troubled}
for i, id in ipairs(ids) do
  local call = root .. 'call:' .. id
  local facts = redis.call('HMGET', call, 'at', 'pk', 'rc', 'fs', 'ln', 'bs', 'lt', 'ld')
  redis.call('HSET', call, 'st', 'claimed', 'fn', fence)
  -- Its item will carry the link that it has now.
  if facts[7] then redis.call('HDEL', call, 'lt', 'nt') end
  leased[2 * i - 1], leased[2 * i] = now + lease, id
  local at = #answer
  answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = id, facts[1] or 0, facts[2] or 0, facts[6] or facts[3]
  answer[at + 5], answer[at + 6], answer[at + 7] = facts[4] or '', facts[5] or '', facts[8] and 1 or 0
  answer[at + 8] = bodies[i] or ''
end
redis.call('ZADD', root .. 'leases', unpack(leased))
return answer
