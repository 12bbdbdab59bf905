-- KEYS: version, values, versions, ends. ARGV: since, now or ''. Returns {version, name, value,
-- until, name, ...}; to who hears for the first time (since 0) not what has ended.

local now = tonumber(ARGV[2]) or tonumber(redis.call('TIME')[1])
local answer = {tonumber(redis.call('GET', KEYS[1])) or 0}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. ARGV[1], '+inf')) do
  local ends = redis.call('ZSCORE', KEYS[4], name)
  if ARGV[1] ~= '0' or tonumber(ends) >= now then
    answer[#answer + 1] = name
    answer[#answer + 1] = redis.call('HGET', KEYS[2], name)
    answer[#answer + 1] = ends
  end
end
return answer
