-- Corrects what still counts. A settlement: {amount, arrived, life, entry}. Returns the version.

for i, settlement in ipairs(call.claims) do
  local key = KEYS[i + 1]
  local w = read(key)
  local alive = w and w.life == settlement[3]
  if alive and kinds[w.kind].settle(w, settlement[4], settlement[2], settlement[1]) then
    write(key, w)
  end
end
return version()
