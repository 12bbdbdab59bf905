-- All claims or none. Returns {1, version, doubles: used, life, now and entry (4) per claim}, or
-- {0, version, wait as a double, which}.

local windows, latest, which = {}, nil, 0
for i, claim in ipairs(call.claims) do
  local w = window(KEYS[i + 1], claim)
  local at = kinds[w.kind].ready_at(w, claim[1])
  if at and (not latest or at > latest) then
    latest, which = at, i - 1
  end
  windows[i], w.now = w, now
end
if latest then
  return {0, version(), struct.pack('<d', latest - clock), which}
end

local parts = {}
for i, claim in ipairs(call.claims) do
  local w = windows[i]
  local kind = kinds[w.kind]
  now = w.now
  local entry = kind.take(w, claim[1])
  parts[i] = struct.pack('<ddddddd', kind.used(w), w.life, now,
    entry[1], entry[2], entry[3] or 0, entry[4] or 0)
  write(KEYS[i + 1], w)
end
return {1, version(), table.concat(parts)}
