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
local answer = {}
for _, account in ipairs(redis.call('SMEMBERS', root .. 'accounts')) do
  local due, look = has_due(root .. 'due:' .. account), has_due(root .. 'uncertain:' .. account)
  local try = has_due(root .. 'parked:' .. account)
  if due == 1 then
    local probe_at = redis.call('HGET', root .. 'pause:' .. account, 'probe_at')
    if probe_at and tonumber(probe_at) > now then due = 0 end
  end
  if due + look + try > 0 then
    for _, fact in ipairs({account, due, look, try}) do answer[#answer + 1] = fact end
  end
end
return answer
