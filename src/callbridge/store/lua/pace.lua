#!lua flags=allow-oom
-- pace: hands out the account's next free slot in time, to one request of any worker. Slots are evenly spaced and none is
-- saved up, so that no second holds more requests than configured, whoever sends them. Where the breaker is open, one holder
-- gets slots for its trial, and nobody else.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  microseconds between two slots, as configured
-- ARGV[3]  longest wait in microseconds for which a slot is worth reserving
-- ARGV[4]  who asks for a trial, or '': it sends too much for one
-- ARGV[5]  ms after which a trial of which nothing was heard is over
-- ARGV[6]  calls waiting down to which the way back after an outage is slow
-- Returns  {1 | 2, microseconds to wait for the reserved slot, microseconds from it to the next}; 2: as the trial
--          {0, microseconds after which to ask again, as above}
--          {-1, microseconds for which there is none, as above}: it waits for a trial
local root, account, interval, patience = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local holder, trial_ms, backlog = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
if not interval or interval < 0 or not patience or not trial_ms or trial_ms <= 0 or not backlog then
  return redis.error_reply('PACE wants interval, patience, holder, trial and backlog')
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local key = root .. 'pace:' .. account
local free, blocked, opened, trial_by, trial_until, share, ramp_until, slots =
  unpack(redis.call('HMGET', key, 'next', 'blocked_until', 'opened', 'trial_by', 'trial_until', 'share', 'ramp_until', 'slots'))
free, blocked = math.max(now, tonumber(free or 0)), tonumber(blocked or 0)

interval = math.ceil(interval / math.max(1 / 16, math.min(1, tonumber(share or 1))))
local ramp = tonumber(ramp_until or 0) * 1000
if ramp > now and ramp - now <= 60000000 then
  local waiting = 0
  for _, lane in ipairs({'due:', 'bulk:', 'alone:'}) do waiting = waiting + redis.call('ZCARD', root .. lane .. account) end
  if waiting > backlog then interval = math.max(interval, 1000000) else redis.call('HDEL', key, 'ramp_until') end
end

-- Further ahead than anybody asks for is a clock that jumped back.
if blocked > now and blocked - now <= 3600000000 then return {0, blocked - now, interval} end
if opened then
  local lasts = tonumber(trial_until or 0) * 1000 - now
  if lasts > 0 and lasts <= 3600000000 and trial_by ~= holder then return {-1, lasts, interval} end
  if holder == '' then return {-1, 0, interval} end
end
if free - now > 60000000 + interval then free = now end
if free - now > patience then return {0, free - now - patience, interval} end
redis.call('HSET', key, 'next', string.format('%.0f', free + interval))
if opened then redis.call('HSET', key, 'trial_by', holder, 'trial_until', math.floor(now / 1000) + trial_ms) end

-- Requests of the last minute, for the breaker to judge failures by.
local bucket, count, kept = math.floor(now / 10000000), 1, {}
for at, counted in string.gmatch(slots or '', '(%d+):(%d+)') do
  if tonumber(at) == bucket then
    count = count + tonumber(counted)
  elseif tonumber(at) < bucket and tonumber(at) > bucket - 6 then
    kept[#kept + 1] = at .. ':' .. counted
  end
end
kept[#kept + 1] = string.format('%.0f:%.0f', bucket, count)
redis.call('HSET', key, 'slots', table.concat(kept, ' '))
return {opened and 2 or 1, free - now, interval}
