-- Calls off deliveries that wait. ARGV[4] tenant, [5...] ids. Answers like requeue.lua.
local touched, moved_count, refused = {}, 0, nil
for i = 5, #ARGV do
  local d = find(ARGV[i])
  if not d or d.t ~= ARGV[4] then
    refused = ''
  elseif d.s == 'queued' or d.s == 'scheduled' then
    out_of_lanes(d)
    move(d, 'cancelled')
    call('HSET', P .. 'd:' .. d.id, 's', 'cancelled', 'u', now)
    touched[d.outlet] = true
    moved_count = moved_count + 1
  else
    refused = d.s
  end
end
refresh_all(touched)
return done(moved_count, refused)
