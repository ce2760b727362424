-- The attempts of a delivery that are kept, or one of them. ARGV[4] tenant, [5] delivery, [6] which one, from 1 over the
-- delivery's whole life, or '' for all. Answers the number of the first, and the attempts.
local d = find(ARGV[5])
if not d or d.t ~= ARGV[4] then return {'OK', 0, {}} end
local kept = P .. 'a:' .. d.id
-- The list has the last ones, and the delivery knows how many there were in all.
local before = d.n - call('LLEN', kept)
if ARGV[6] == '' then return {'OK', before + 1, call('LRANGE', kept, 0, -1)} end
local place = ARGV[6] - before - 1
if place < 0 then return {'OK', 0, {}} end
return {'OK', ARGV[6] + 0, call('LRANGE', kept, place, place)}
