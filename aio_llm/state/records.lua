-- Windows between two calls, and the claims on them: aio_llm/state/ledger.py says what is meant.
--
-- A claim: {amount, form, kind, rate, period, size or calendar}. ARGV[1], JSON: what all calls
-- have in common, and a list of claims or settlements. KEYS[1]: the version of the facts, then
-- one key per claim or settlement.

local call = cjson.decode(ARGV[1])
local clock = call.now
if not clock then
  local time = redis.call('TIME')
  clock = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
MARGIN, COARSE = call.margin, call.coarse

local function describe(w, claim)
  w.form, w.kind, w.rate, w.period = claim[2], claim[3], claim[4], claim[5]
  if w.kind == 'fixed' then
    w.calendar = claim[6]
  end
end

-- For a window no time is earlier than the last one, unless the clock was set back; then no time
-- has passed.
local function read(key)
  local text = redis.call('GET', key)
  local w = text and cmsgpack.unpack(text) or nil
  now = clock
  if w and w.now > clock + call.jump then
    kinds[w.kind].set_back(w, w.now)
  elseif w then
    now = math.max(clock, w.now)
  end
  return w
end

local function write(key, w)
  w.now, w.size = now, nil
  local seconds = math.min(kinds[w.kind].over(w), 366 * 86400)
  local ttl = string.format('%.0f', math.max(1, seconds * 1000))
  redis.call('SET', key, cmsgpack.pack(w), 'PX', ttl)
end

local function fresh(claim)
  local w = {life = call.life}
  describe(w, claim)
  w.size = claim[6]
  kinds[w.kind].fresh(w)
  return w
end

-- The window of a claim as it stands now, and by the rule of the claim.
local function window(key, claim)
  local w = read(key)
  if not w then
    return fresh(claim)
  end
  if w.form ~= claim[2] then
    local used = kinds[w.kind].used(w)
    w = fresh(claim)
    if used > 0 then
      kinds[w.kind].take(w, used)
    end
    return w
  end
  if w.rate ~= claim[4] then
    kinds[w.kind].resize(w, claim[4])
  end
  describe(w, claim)
  w.size = claim[6]
  return w
end

local function version()
  return tonumber(redis.call('GET', KEYS[1])) or 0
end
