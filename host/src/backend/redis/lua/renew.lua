-- Extends leases. ARGV[4] lease in microseconds, then delivery and fence in turn.
-- Answers the places (from 0) of those that are lost.
local lost = {}
for i = 5, #ARGV, 2 do
  local v = call('HMGET', P .. 'd:' .. ARGV[i], 's', 'f')
  if v[1] == 'started' and v[2] == ARGV[i + 1] then
    call('ZADD', P .. 'leases', now + ARGV[4], ARGV[i])
  else
    lost[#lost + 1] = (i - 5) / 2
  end
end
return {'OK', lost}
