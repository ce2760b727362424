-- Does what time has brought about, then leases deliveries.
-- ARGV[4] worker, [5] how many at most, [6] lease in microseconds, [7] bytes of events after which no more is
-- taken, [8] the result of a delivery whose lease was lost, [9] of a poisonous one, with %d for its receives, [10] and
-- of one whose event is missing, [11] the kind of a lost lease's error,
-- [12] how many first attempts of a webhook go before one of its retries that are due
-- Answers: now, when to ask again (microseconds from now; -1: nothing to wait for), the deliveries as
-- id and fields in turn, the events they belong to as id and fields in turn, the leases that were lost as delivery,
-- tenant, webhook, worker and the delivery's state in turn.
local worker, max, lease, max_bytes = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local STEP, FIRSTS_PER_RETRY = 500, tonumber(ARGV[12])

local touched, lost = {}, {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'leases', '-inf', now, 'LIMIT', 0, STEP)) do
  local d = find(id)
  if d then
    record(id, 'lost ' .. d.wk .. ' ' .. d.la .. ' ' .. text(now))
    use(d.t, 'a', 1)
    d.n = d.n + 1
    local poisonous = d.rc >= MAX_RECEIVES
    move(d, poisonous and 'failed' or 'queued')
    for _, part in ipairs({id, d.t, d.w, d.wk or '', d.s}) do lost[#lost + 1] = part end
    ended_with(d, ARGV[11])
    if not poisonous then back_to_lane(d) end
    call('HSET', P .. 'd:' .. id, 's', d.s, 'u', now, 'n', d.n, 'le', d.le,
      'lr', poisonous and string.format(ARGV[9], d.rc) or ARGV[8])
    touched[d.outlet] = true
  else
    call('ZREM', P .. 'leases', id)
  end
end
for _, outlet in ipairs(call('ZRANGEBYSCORE', P .. 'due', '-inf', now, 'LIMIT', 0, STEP)) do
  touched[outlet] = true
end
refresh_all(touched)

local tick = tonumber(call('GET', P .. 'tick') or 0)

-- The generic cell rate algorithm: counts a claim against the outlet's rate.
local function rated(o)
  local interval = tonumber(o[2] or 0)
  if interval == 0 then return 0, 0 end
  local tat = math.max(tonumber(o[4] or 0), now) + interval
  return tat, tat - tonumber(o[3] or 0)
end

local deliveries, events, known, bytes = {}, {}, {}, 0
local function take()
  local tenant = call('ZRANGE', P .. 'ring', 0, 0)[1]
  if not tenant then return false end
  local webhook = call('ZRANGE', P .. 'open:' .. tenant, 0, 0)[1]
  if not webhook then
    call('ZREM', P .. 'ring', tenant)
    return true
  end
  local outlet = tenant .. '|' .. webhook
  local o = call('HMGET', P .. 'outlet:' .. outlet, 'firsts', 'rate', 'burst', 'tat')
  local firsts = tonumber(o[1] or 0)
  local lane, id = firsts < FIRSTS_PER_RETRY and 0 or 1
  for _ = 1, 2 do
    if lane == 0 then
      id = call('ZRANGE', P .. 'lane0:' .. outlet, 0, 0)[1]
    else
      id = call('ZRANGEBYSCORE', P .. 'lane1:' .. outlet, '-inf', now, 'LIMIT', 0, 1)[1]
    end
    if id then break end
    lane = 1 - lane
  end
  local d = id and find(id)
  if not d then
    if id then call('ZREM', P .. 'lane' .. lane .. ':' .. outlet, id) end
    refresh(outlet)
    return true
  end
  -- A fence is higher than every earlier one of the delivery, also of one that a failover has lost.
  local key = P .. 'd:' .. id
  call('ZREM', P .. 'lane' .. lane .. ':' .. outlet, id)
  if d.n == 0 then call('ZREM', P .. 'untried', id) end
  local event = not known[d.e] and call('HMGET', P .. 'e:' .. d.e, 't', 'et', 'ot', 'rx')
  if event then event[5] = call('GET', P .. 'context:' .. d.e) end
  if event and not (event[1] and event[5]) then
    -- Something else than hookbox has removed it; one such delivery must not spoil the others' claim.
    move(d, 'failed')
    call('HSET', key, 's', 'failed', 'u', now, 'lr', ARGV[10])
    refresh(outlet)
    return true
  end
  move(d, 'started')
  call('HSET', key, 's', 'started', 'u', now, 'rc', d.rc + 1, 'f', math.max(d.f + 1, now), 'wk', worker, 'la', now)
  call('ZADD', P .. 'leases', now + lease, id)

  tick = tick + 1
  local tat, rate_ready = rated(o)
  call('HINCRBY', P .. 'outlet:' .. outlet, 'in', 1)
  call('HSET', P .. 'outlet:' .. outlet, 'served', tick, 'tat', tat, 'rate_ready', rate_ready,
    'firsts', lane == 0 and math.min(firsts + 1, FIRSTS_PER_RETRY) or 0)
  call('HSET', P .. 'turns', tenant, tick)
  call('ZADD', P .. 'open:' .. tenant, 'XX', tick, webhook)
  call('ZADD', P .. 'ring', 'XX', tick, tenant)
  refresh(outlet)

  deliveries[#deliveries + 1] = id
  deliveries[#deliveries + 1] = call('HGETALL', key)
  if event then
    known[d.e] = true
    bytes = bytes + #event[5]
    events[#events + 1] = d.e
    events[#events + 1] = event
  end
  return true
end

-- What take() finds missing or damaged it removes; that must not go on for ever in one step either.
local before, tries = tick, 2 * max + STEP
while #deliveries < 2 * max and bytes < max_bytes and tries > 0 and take() do tries = tries - 1 end
if tick ~= before then call('SET', P .. 'tick', tick) end

local again = -1
if call('EXISTS', P .. 'ring') == 1 then
  again = 0
else
  for _, key in ipairs({'due', 'leases'}) do
    local first = call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')[2]
    if first then
      local wait = math.max(tonumber(first) - now, 0)
      if again < 0 or wait < again then again = wait end
    end
  end
end
-- What was woken for is taken; another worker is woken only if there is more than this one takes: now, or at a
-- time of which nobody else has been told.
local is_full = #deliveries == 2 * max
woken = again == 0 and (is_full or #deliveries > 0)
if is_full and again > 0 then
  local first = call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')[2]
  if first and call('GET', P .. 'told') ~= first then
    call('SET', P .. 'told', first)
    woken = true
  end
end
return done(now, again, deliveries, events, lost)
