-- A worker lives. ARGV[4] microseconds after which a silent one is forgotten, [5] its id, [6] about it, as JSON;
-- without a text it is forgotten at once. Answers the workers that live, as JSON and when they were last seen (ms).
if ARGV[6] == '' then
  call('HDEL', P .. 'workers', ARGV[5])
elseif ARGV[6] then
  call('HSET', P .. 'workers', ARGV[5], text(math.floor(now / 1000)) .. ' ' .. ARGV[6])
end
local living = {}
local all = call('HGETALL', P .. 'workers')
for i = 1, #all, 2 do
  local seen, about = string.match(all[i + 1], '^(%d+) (.*)$')
  if seen and now - tonumber(seen) * 1000 <= tonumber(ARGV[4]) then
    living[#living + 1] = {about, seen}
  else
    call('HDEL', P .. 'workers', all[i])
  end
end
return {'OK', living}
