#!lua flags=allow-oom
-- agenda: which accounts have something to do now. Reads only.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV     none
-- Returns  per account with work: name, calls due 0 | 1, looks due 0 | 1, tries due 0 | 1, notes due 0 | 1
-- Cost     O(accounts)
local root = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function has_due(...)
  for _, key in ipairs({...}) do
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if first[2] and tonumber(first[2]) <= now then return 1 end
  end
  return 0
end
-- While an account is paused only what its state lets succeed is worth a request: the next probe, and reading where only
-- writing is refused.
local readable = {payment_required = true, refuses_all = true}
local answer = {}
for _, account in ipairs(redis.call('SMEMBERS', root .. 'accounts')) do
  local due = has_due(root .. 'due:' .. account, root .. 'bulk:' .. account, root .. 'alone:' .. account)
  local look = has_due(root .. 'uncertain:' .. account)
  local try, note = has_due(root .. 'parked:' .. account), has_due(root .. 'late:' .. account)
  local reason, probe_at, owner, ends = unpack(redis.call('HMGET', root .. 'pause:' .. account, 'reason', 'probe_at', 'owner', 'until'))
  if owner and (not ends or tonumber(ends) > now) then due = 0 end
  if ends and tonumber(ends) <= now then reason = nil end
  if probe_at and tonumber(probe_at) > now then due = 0 end
  if reason and not readable[reason] then look = 0 end
  if reason then note = 0 end
  local blocked, opened, trial_until = unpack(redis.call('HMGET', root .. 'pace:' .. account, 'blocked_until', 'opened', 'trial_until'))
  blocked = math.max(tonumber(blocked or 0) / 1000, opened and tonumber(trial_until or 0) or 0)
  if blocked > now and blocked - now <= 3600000 then due, look, note = 0, 0, 0 end
  if due + look + try + note > 0 then
    for _, fact in ipairs({account, due, look, try, note}) do answer[#answer + 1] = fact end
  end
end
return answer
