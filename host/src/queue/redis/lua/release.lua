-- Gives leases back unused. ARGV[4...] delivery and fence in turn.
local touched = {}
for i = 4, #ARGV, 2 do
  local d = find(ARGV[i])
  if d and d.s == 'started' and d.f == ARGV[i + 1] then
    move(d, 'queued')
    back_to_lane(d)
    call('HSET', P .. 'd:' .. d.id, 's', 'queued', 'u', now, 'rc', math.max(d.rc - 1, 0))
    touched[d.outlet] = true
    woken = true
  end
end
refresh_all(touched)
return done()
