-- KEYS: version, values, versions, ends. ARGV: now or '', seconds to remember what has ended,
-- seconds after which everything is forgotten at the latest; then name, value, until of each
-- fact. Returns the version.

local time = redis.call('TIME')
local now = tonumber(ARGV[1]) or tonumber(time[1])
local version = (tonumber(redis.call('GET', KEYS[1])) or time[1] * 1e6 + time[2]) + 1
local written = string.format('%.0f', version)
redis.call('SET', KEYS[1], written)
for i = 4, #ARGV, 3 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[3], written, ARGV[i])
  redis.call('ZADD', KEYS[4], ARGV[i + 2], ARGV[i])
end

local over = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', string.format('(%.17g', now - ARGV[2]))
for _, name in ipairs(over) do
  redis.call('HDEL', KEYS[2], name)
  redis.call('ZREM', KEYS[3], name)
  redis.call('ZREM', KEYS[4], name)
end

local last = redis.call('ZREVRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2]
local left = math.max(0, (tonumber(last) or now) - now) + ARGV[2]
local ttl = string.format('%.0f', math.min(left, tonumber(ARGV[3])) * 1000)
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, ttl)
end
return version
