-- Counts an attempt of a plugin's trial. ARGV[4] tenant, [5] plugin, [6] when the trial started (ms), [7] canary or
-- current, [8] whether it failed (1 or 0). Answers attempts and failures, first of the canary; nothing is counted, and
-- all is 0, if a later trial has begun.
local key = P .. 'trial:' .. ARGV[4] .. '|' .. ARGV[5]
local latest = call('HGET', key, 'started')
if latest and tonumber(latest) > tonumber(ARGV[6]) then return {'OK', {0, 0, 0, 0}} end
if latest ~= ARGV[6] then
  call('DEL', key)
  call('HSET', key, 'started', ARGV[6])
end
call('HINCRBY', key, ARGV[7], 1)
if ARGV[8] == '1' then call('HINCRBY', key, ARGV[7] .. '.failed', 1) end
call('EXPIRE', key, TRIAL)
return {'OK', call('HMGET', key, 'canary', 'canary.failed', 'current', 'current.failed')}
