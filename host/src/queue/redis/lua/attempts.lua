-- The attempts of a delivery that are kept, and how many there were in all. ARGV[4] tenant, [5] delivery.
local d = find(ARGV[5])
if not d or d.t ~= ARGV[4] then return {'OK', 0, {}} end
return {'OK', d.n, call('LRANGE', P .. 'a:' .. d.id, 0, -1)}
