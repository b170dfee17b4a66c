#!lua flags=allow-oom
-- breaker: reads what the workers share about an account, and writes it if nobody wrote since it was read. What to write is
-- decided outside. Only the trial that this holder has is given up with it.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  version that was read; '' reads only
-- ARGV[3]  holder whose trial ends with this, or ''
-- ARGV[4+] pairs of field and value; a value '' forgets the field
-- Returns  {written 0 | 1, now in ms, version, calls waiting, requests in the last minute, then fields and values}
local root, account, version, holder = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if not account or account == '' or not version or not holder or #ARGV % 2 == 0 then return redis.error_reply('BREAKER wants account, version, holder and pairs') end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local key = root .. 'pace:' .. account
local standing, trial_by = unpack(redis.call('HMGET', key, 'version', 'trial_by'))
local written = 0
if version ~= '' and version == (standing or '0') then
  for i = 4, #ARGV, 2 do
    if ARGV[i + 1] == '' then redis.call('HDEL', key, ARGV[i]) else redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
  end
  if holder ~= '' and trial_by == holder then redis.call('HDEL', key, 'trial_by', 'trial_until') end
  standing = redis.call('HINCRBY', key, 'version', 1)
  written = 1
end
local waiting, requests = 0, 0
for _, lane in ipairs({'due:', 'bulk:', 'alone:'}) do waiting = waiting + redis.call('ZCARD', root .. lane .. account) end
local bucket = math.floor(now / 10000)
for at, count in string.gmatch(redis.call('HGET', key, 'slots') or '', '(%d+):(%d+)') do
  if tonumber(at) > bucket - 6 and tonumber(at) <= bucket then requests = requests + tonumber(count) end
end
local answer = {written, now, tonumber(standing or 0), waiting, requests}
for _, fact in ipairs(redis.call('HGETALL', key)) do answer[#answer + 1] = fact end
return answer
