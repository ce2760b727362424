-- Gives leases back unused. ARGV[4...] delivery and fence in turn.
local touched = {}
for i = 4, #ARGV, 2 do
  local d = find(ARGV[i])
  if d and d.s == 'started' and d.f == ARGV[i + 1] then
    give_back(d)
    touched[d.outlet] = true
    woken = true
  end
end
refresh_all(touched)
return done()
