#!lua flags=allow-oom
-- agenda: which accounts have something to do now. Reads only.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV     none
-- Returns  per account with work: name, calls due 0 | 1, looks due 0 | 1, tries due 0 | 1
-- Cost     O(accounts)
local root = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function has_due(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) <= now and 1 or 0
end
-- While an account is paused only what its state lets succeed is worth a request: the next probe, and reading where only
-- writing is refused.
local readable = {payment_required = true, refuses_all = true}
local answer = {}
for _, account in ipairs(redis.call('SMEMBERS', root .. 'accounts')) do
  local due, look = has_due(root .. 'due:' .. account), has_due(root .. 'uncertain:' .. account)
  local try = has_due(root .. 'parked:' .. account)
  local reason, probe_at = unpack(redis.call('HMGET', root .. 'pause:' .. account, 'reason', 'probe_at'))
  if probe_at and tonumber(probe_at) > now then due = 0 end
  if reason and not readable[reason] then look = 0 end
  local blocked = tonumber(redis.call('HGET', root .. 'pace:' .. account, 'blocked_until') or 0) / 1000
  if blocked > now and blocked - now <= 3600000 then due, look = 0, 0 end
  if due + look + try > 0 then
    for _, fact in ipairs({account, due, look, try}) do answer[#answer + 1] = fact end
  end
end
return answer
