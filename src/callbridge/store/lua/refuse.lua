#!lua flags=allow-oom
-- refuse: counts webhooks that were turned away, and keeps the last of them for people to look at. Repeated it counts twice:
-- these figures are hints, not books.
--
-- KEYS[1]  root of all keys, see keys.py
-- ARGV[1]  how many counts follow
-- ARGV[2+] pairs of <source>:<code> and how many
-- then     pairs of source and sample, a JSON object
-- Returns  1
local root, counts = KEYS[1], tonumber(ARGV[1])
if not counts or counts < 0 or counts ~= math.floor(counts) or #ARGV % 2 == 0 or 2 * counts + 1 > #ARGV then
  return redis.error_reply('REFUSE wants counts and samples')
end
local first = 2 * counts + 2
for i = 2, first - 2, 2 do
  local times = tonumber(ARGV[i + 1])
  if not string.find(ARGV[i], ':') or not times or times < 1 or times > 1000000000 or times ~= math.floor(times) then
    return redis.error_reply('REFUSE wants a source, a code and how many')
  end
end
for i = first, #ARGV, 2 do
  if ARGV[i] == '' or string.sub(ARGV[i + 1], 1, 1) ~= '{' then return redis.error_reply('REFUSE wants samples as objects') end
end

for i = 2, first - 2, 2 do redis.call('HINCRBY', root .. 'refused', ARGV[i], string.format('%.0f', ARGV[i + 1])) end
for i = first, #ARGV, 2 do
  redis.call('LPUSH', root .. 'refusals:' .. ARGV[i], ARGV[i + 1])
  redis.call('LTRIM', root .. 'refusals:' .. ARGV[i], 0, 19)
end
return 1
