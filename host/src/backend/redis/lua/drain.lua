-- Cancels what waits for webhooks that are gone. ARGV[4] how many at most, [5] the result to be stored.
-- Answers how many webhooks are left that have any. An outlet that is empty is enabled again, so that a straggler ends in a record
-- instead of waiting for ever.
local left = tonumber(ARGV[4])
for _, outlet in ipairs(call('SRANDMEMBER', P .. 'draining', 100)) do
  for lane = 0, 1 do
    for _, id in ipairs(call('ZRANGE', P .. 'lane' .. lane .. ':' .. outlet, 0, left - 1)) do
      local d = find(id)
      if d then
        out_of_lanes(d)
        move(d, 'cancelled')
        call('HSET', P .. 'd:' .. id, 's', 'cancelled', 'u', now, 'lr', ARGV[5])
      else
        call('ZREM', P .. 'lane' .. lane .. ':' .. outlet, id)
      end
      left = left - 1
    end
    if left <= 0 then break end
  end
  if left <= 0 then break end
  local tenant, webhook = split(outlet)
  call('HDEL', P .. 'outlet:' .. outlet, 'off', 'max', 'rate', 'burst', 'tat', 'rate_ready', 'paused', 'spec')
  call('ZREM', P .. 'paused', outlet)
  call('ZREM', P .. 'pauses:' .. tenant, webhook)
  call('SREM', P .. 'draining', outlet)
  refresh(outlet)
end
return done(call('SCARD', P .. 'draining'))
