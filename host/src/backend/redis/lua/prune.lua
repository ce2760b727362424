-- Forgets what ended long enough ago. ARGV[4] how many at most; [5] the age in microseconds of finished ones,
-- [6] of failed ones. Answers how many deliveries and events it were.
local limit, removed = tonumber(ARGV[4]), 0
local function before(age) return now - tonumber(age) end

local function forget_event(id)
  call('DEL', P .. 'e:' .. id, P .. 'context:' .. id, P .. 'follows:' .. id)
  removed = removed + 1
end

for _, of in ipairs({{'ended:done', ARGV[5]}, {'ended:failed', ARGV[6]}}) do
  -- Events count too, so there may be more than the limit; a negative count would mean all there are.
  local left = math.max(limit - removed, 0)
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. of[1], '-inf', before(of[2]), 'LIMIT', 0, left)) do
    local d = find(id)
    call('ZREM', P .. of[1], id)
    if d then
      call('DEL', P .. 'd:' .. id, P .. 'a:' .. id)
      call('ZREM', P .. 'all:' .. d.t, id)
      call('ZREM', P .. 'state:' .. d.t .. '|' .. d.s, id)
      call('ZREM', P .. 'hook:' .. d.outlet, id)
      ended_with(d, '')
      count(d.s, -1)
      if call('HINCRBY', P .. 'e:' .. d.e, 'n', -1) <= 0 then forget_event(d.e) end
    end
    removed = removed + 1
  end
end
if removed < limit then
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'ended:unmatched', '-inf', before(ARGV[5]), 'LIMIT', 0, limit - removed)) do
    call('ZREM', P .. 'ended:unmatched', id)
    forget_event(id)
  end
end

call('ZREMRANGEBYSCORE', P .. 'paused', '-inf', now)
for _, outlet in ipairs(call('SRANDMEMBER', P .. 'gone', 100)) do
  if call('EXISTS', P .. 'hook:' .. outlet) == 0 and call('SISMEMBER', P .. 'draining', outlet) == 0 then
    local tenant, webhook = split(outlet)
    call('DEL', P .. 'outlet:' .. outlet)
    call('ZREM', P .. 'paused', outlet)
    call('ZREM', P .. 'pauses:' .. tenant, webhook)
    call('SREM', P .. 'gone', outlet)
    if call('EXISTS', P .. 'all:' .. tenant) == 0 then call('HDEL', P .. 'turns', tenant) end
  end
end
return done(removed)
