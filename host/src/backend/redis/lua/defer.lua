-- Gives a lease back and holds its webhook back.
-- ARGV[4] delivery, [5] fence, [6] for how long, in microseconds, [7] why, in one sentence
local d = find(ARGV[4])
if d and d.s == 'started' and d.f == ARGV[5] then
  give_back(d)
  call('HSET', P .. 'd:' .. d.id, 'lr', ARGV[7])
  pause(d, ARGV[6])
  refresh(d.outlet)
end
return done()
