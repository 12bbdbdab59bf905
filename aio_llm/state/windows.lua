-- How limits count: the rules of aio_llm/quota/windows.py, number for number.
-- A window is a table of its state; `now` and the constants come from the caller. `settle` says
-- whether the entry still counts.

local now, MARGIN, COARSE

-- Whole periods (`period`, `shift`), or days of a time zone: the number of the first of some
-- `borders`, which the caller has looked up. Beyond them a day has 24 hours.

local function number(calendar, moment)
  local borders = calendar.borders
  if not borders then
    return math.floor((moment + calendar.shift) / calendar.period)
  end
  local count = #borders
  if moment < borders[1] then
    return calendar.first - math.ceil((borders[1] - moment) / 86400)
  end
  for i = 2, count do
    if moment < borders[i] then
      return calendar.first + i - 2
    end
  end
  return calendar.first + count - 1 + math.floor((moment - borders[count]) / 86400)
end

local function start(calendar, window)
  local borders = calendar.borders
  if not borders then
    return window * calendar.period - calendar.shift
  end
  local i = window - calendar.first + 1
  if i < 1 then
    return borders[1] + (i - 1) * 86400
  elseif i > #borders then
    return borders[#borders] + (i - #borders) * 86400
  end
  return borders[i]
end

local kinds = {}

-- Bucket: full (at that moment), fills (how often it has been full); rate, period, size.

kinds.bucket = {
  fresh = function(w)
    w.full, w.fills = 0, 0
  end,

  resize = function(w, rate)
    local used = math.max(0, w.full - now) / (w.period / w.rate)
    w.rate = rate
    w.full = now + used * (w.period / rate)
  end,

  ready_at = function(w, amount)
    local at = w.full + (math.min(amount, w.size) - w.size) * (w.period / w.rate)
    return at > now and at or nil
  end,

  take = function(w, amount)
    local stamp = now + MARGIN
    amount = math.min(amount, math.max(w.size, w.rate))
    local was_full = w.full < stamp and 1 or 0
    w.fills = w.fills + was_full
    w.full = math.max(w.full, stamp) + amount * (w.period / w.rate)
    return {stamp, amount, w.fills, was_full}
  end,

  settle = function(w, entry, arrived, amount)
    if entry[3] ~= w.fills then
      return false
    end
    local moved = (arrived - entry[1]) * entry[4]
    w.full = w.full + ((amount - entry[2]) * (w.period / w.rate) + moved)
    return true
  end,

  used = function(w)
    return math.max(0, w.full - now) / (w.period / w.rate)
  end,

  set_back = function(w, touched)
    w.full = now + math.max(0, w.full - touched)
  end,

  over = function(w)
    return math.max(2 * w.period, w.full - now + w.period)
  end,
}

-- Fixed: used, pairs of window number and amount; rate, period, calendar.

local function taken(w, window)
  for _, pair in ipairs(w.used) do
    if pair[1] == window then
      return pair[2], pair
    end
  end
  return 0, nil
end

local function put(w, window, amount)
  local _, pair = taken(w, window)
  if pair then
    pair[2] = amount
  else
    w.used[#w.used + 1] = {window, amount}
  end
end

kinds.fixed = {
  fresh = function(w)
    w.used = {}
  end,

  resize = function(w, rate)
    w.rate = rate
  end,

  ready_at = function(w, amount)
    amount = math.min(amount, w.rate)
    local first, last = number(w.calendar, now - MARGIN), number(w.calendar, now + MARGIN)
    local at = nil
    local most = math.max((taken(w, last - 1)), (taken(w, last)))
    local has_plenty = most + 2 * amount <= w.rate
    if first ~= last and amount > COARSE * w.rate and not has_plenty then
      first, at = last, start(w.calendar, last) + MARGIN
    end
    while taken(w, first) + amount > w.rate or taken(w, last) + amount > w.rate do
      first = first + 1
      last = first
      at = start(w.calendar, first) + MARGIN
    end
    return at
  end,

  take = function(w, amount)
    amount = math.min(amount, w.rate)
    local first, last = number(w.calendar, now - MARGIN), number(w.calendar, now + MARGIN)
    local _, known = taken(w, first)
    if not known then
      local kept = {}
      for _, pair in ipairs(w.used) do
        if pair[1] >= first then
          kept[#kept + 1] = pair
        end
      end
      w.used = kept
    end
    for window = first, last do
      put(w, window, (taken(w, window)) + amount)
    end
    return {first, last, amount}
  end,

  settle = function(w, entry, arrived, amount)
    local first, last, counted = entry[1], entry[2], entry[3]
    local final = math.max(first, number(w.calendar, arrived))
    for window = first, math.max(last, final) do
      local before = window <= last and counted or 0
      local after = window <= final and amount or 0
      local used, known = taken(w, window)
      if known or after > before then
        put(w, window, math.max(0, used + after - before))
      end
    end
    return true
  end,

  used = function(w)
    local first, last = number(w.calendar, now - MARGIN), number(w.calendar, now + MARGIN)
    return math.max((taken(w, first)), (taken(w, last)))
  end,

  set_back = function() end,

  over = function(w)
    return 2 * w.period
  end,
}

-- Sliding: slots, 16 bytes each (moment and amount, oldest first); serial (of the newest); sum.

local function slot(w, i)
  return struct.unpack('<dd', w.slots, 16 * (i - 1) + 1)
end

local function write_slot(w, i, stamp, amount)
  w.slots = string.sub(w.slots, 1, 16 * (i - 1)) .. struct.pack('<dd', stamp, amount)
    .. string.sub(w.slots, 16 * i + 1)
end

local function forget(w)
  local border, gone, all = now - w.period, 0, #w.slots / 16
  while gone < all do
    local stamp, amount = slot(w, gone + 1)
    if stamp > border then
      break
    end
    w.sum = w.sum - amount
    gone = gone + 1
  end
  if gone == all then
    w.sum = 0
  end
  w.slots = string.sub(w.slots, 16 * gone + 1)
  return all - gone
end

kinds.sliding = {
  fresh = function(w)
    w.slots, w.serial, w.sum = '', 0, 0
  end,

  resize = function(w, rate)
    w.rate = rate
  end,

  ready_at = function(w, amount)
    local all = forget(w)
    local over = w.sum + math.min(amount, w.rate) - w.rate
    if over <= 1e-9 then
      return nil
    end
    for i = 1, all do
      local stamp, counted = slot(w, i)
      over = over - counted
      if over <= 1e-9 then
        return stamp + w.period
      end
    end
    return now + w.period
  end,

  take = function(w, amount)
    amount = math.min(amount, w.rate)
    local stamp, all = now + MARGIN, #w.slots / 16
    w.sum = w.sum + amount
    if all > 0 then
      local newest, counted = slot(w, all)
      if newest > stamp - w.period / 1024 then
        write_slot(w, all, math.max(newest, stamp), counted + amount)
        return {w.serial, amount}
      end
    end
    w.serial = w.serial + 1
    write_slot(w, all + 1, stamp, amount)
    return {w.serial, amount}
  end,

  settle = function(w, entry, arrived, amount)
    local i, before = #w.slots / 16 - (w.serial - entry[1]), entry[2]
    if i < 1 then
      return false
    end
    local stamp, counted = slot(w, i)
    if counted == before or arrived > stamp then
      stamp = arrived
    end
    write_slot(w, i, stamp, math.max(0, counted + amount - before))
    w.sum = w.sum + (amount - before)
    return true
  end,

  used = function(w)
    forget(w)
    return w.sum
  end,

  set_back = function(w, touched)
    for i = 1, #w.slots / 16 do
      local stamp, amount = slot(w, i)
      write_slot(w, i, now - (touched - stamp), amount)
    end
  end,

  over = function(w)
    return 2 * w.period
  end,
}
