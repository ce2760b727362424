-- Puts deliveries back to 'queued', at the end of the lane of first attempts. ARGV[4] tenant, [5...] ids.
-- Answers how many it were, and the last one's state if it may not be requeued, '' if there is none.
local touched, moved_count, refused = {}, 0, nil
local stamp = stamps(math.max(#ARGV - 4, 1))
for i = 5, #ARGV do
  local d = find(ARGV[i])
  if not d or d.t ~= ARGV[4] then
    refused = ''
  elseif is_ended(d.s) or d.s == 'scheduled' then
    out_of_lanes(d)
    move(d, 'queued')
    d.a, d.due = 0, stamp
    stamp = stamp + 1
    back_to_lane(d)
    call('HSET', P .. 'd:' .. d.id, 's', 'queued', 'u', now, 'due', d.due, 'a', 0, 'rc', 0)
    touched[d.outlet] = true
    moved_count = moved_count + 1
    woken = true
  else
    refused = d.s
  end
end
refresh_all(touched)
return done(moved_count, refused)
