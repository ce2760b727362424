-- Calls off a delivery that waits. ARGV[4] tenant, [5] id. Answers like requeue.lua.
local d = find(ARGV[5])
if not d or d.t ~= ARGV[4] then return {'OK', 0, ''} end
if d.s ~= 'queued' and d.s ~= 'scheduled' then return {'OK', 0, d.s} end
out_of_lanes(d)
move(d, 'cancelled')
call('HSET', P .. 'd:' .. d.id, 's', 'cancelled', 'u', now)
refresh(d.outlet)
return done(1)
