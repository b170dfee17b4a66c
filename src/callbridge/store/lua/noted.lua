#!lua flags=allow-oom
-- noted: ends a note, or puts it back for later. Under another fence nothing happens; ending it twice changes nothing.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  account
-- ARGV[2]  note
-- ARGV[3]  fence under which it was taken
-- ARGV[4]  ms until it is due again, or -1: it is done
-- ARGV[5]  1: it may be on the card; 0: it is surely not
-- ARGV[6]  complete looks so far that did not find it
-- ARGV[7]  for the story of its call, JSON object; '' tells nothing
-- Returns  1 if it was still ours, else 0
local root, account, name, fence, delay = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if not delay or #ARGV ~= 7 then return redis.error_reply('NOTED wants seven arguments') end
local told = ARGV[7] ~= '' and cjson.decode(ARGV[7]) or nil
if told and type(told) ~= 'table' then return redis.error_reply('NOTED wants an object') end

local note = root .. 'note:' .. name
local held, id = unpack(redis.call('HMGET', note, 'fn', 'id'))
if held ~= fence then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if delay < 0 then
  redis.call('ZREM', root .. 'late:' .. account, name)
  redis.call('DEL', note)
else
  redis.call('HDEL', note, 'fn')
  redis.call('HINCRBY', note, 'at', 1)
  redis.call('HSET', note, 'lk', ARGV[6])
  if ARGV[5] ~= '1' then redis.call('HDEL', note, 'ps') end
  redis.call('ZADD', root .. 'late:' .. account, now + delay, name)
end
if told then
  told.at = now
  redis.call('RPUSH', root .. 'story:' .. id, cjson.encode(told))
  redis.call('LTRIM', root .. 'story:' .. id, -100, -1)
  redis.call('XADD', root .. 'ledger', '*', 'id', id)
end
return 1
