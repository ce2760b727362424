-- Stores events with their deliveries, all or none.
-- ARGV[4] microseconds an idempotency key is remembered; then for each event: id, tenant, event type, object
-- type, received (ms), explanation, context, key ('' for none), fingerprint ('' for none), number of
-- deliveries, and for each of those: id, webhook, rule.
-- Answers for each event: 'new' or 'duplicate', its id, its deliveries' ids separated by spaces.
local window = tonumber(ARGV[4])
local events, at, total = {}, 5, 0
while at <= #ARGV do
  local event = {
    id = ARGV[at], t = ARGV[at + 1], et = ARGV[at + 2], ot = ARGV[at + 3], rx = ARGV[at + 4], x = ARGV[at + 5],
    ctx = ARGV[at + 6], fingerprint = ARGV[at + 8], from = at + 10, to = at + 9 + 3 * ARGV[at + 9],
  }
  if ARGV[at + 7] ~= '' then event.key = event.t .. '|' .. ARGV[at + 7] end
  at = event.to + 1
  events[#events + 1] = event
end

-- First everything is decided, as nothing can be undone.
local seen, old = {}, false
for _, event in ipairs(events) do
  if call('EXISTS', P .. 'e:' .. event.id) == 1 then
    -- This very step again: its first answer was lost on the way.
    event.again, old = true, true
  else
    if event.key then
      local known = seen[event.key] or call('GET', P .. 'idem:' .. event.key)
      if known then
        local id, fingerprint = string.match(known, '^(%S*) (.*)$')
        if fingerprint ~= '' and event.fingerprint ~= '' and fingerprint ~= event.fingerprint then
          return {'MISMATCH', string.sub(event.key, #event.t + 2)}
        end
        event.known, old = id, true
      else
        seen[event.key] = event.id .. ' ' .. event.fingerprint
      end
    end
    if not event.known then total = total + (event.to - event.from + 1) / 3 end
  end
end

-- An event that is there already may not have reached the replicas yet: with a write, waiting for them
-- means waiting for it too.
if old then call('SET', P .. 'seen', now) end

-- The deliveries of an event of an earlier step that are still kept.
local function kept(id)
  local ids = {}
  for delivery in string.gmatch(string.match(call('GET', P .. 'follows:' .. id) or '', '^[^\n]*'), '%S+') do
    if call('EXISTS', P .. 'd:' .. delivery) == 1 then ids[#ids + 1] = delivery end
  end
  return table.concat(ids, ' ')
end

local answers, touched = {}, {}
local stamp = total > 0 and stamps(total)
for _, event in ipairs(events) do
  local t = event.t
  if not event.known and not event.again then
    local ids = {}
    for i = event.from, event.to, 3 do
      local id, webhook = ARGV[i], ARGV[i + 1]
      local outlet = t .. '|' .. webhook
      ids[#ids + 1] = id
      call('HSET', P .. 'd:' .. id, 't', t, 'e', event.id, 'w', webhook, 'r', ARGV[i + 2], 'ot', event.ot,
        'et', event.et, 's', 'queued', 'c', stamp, 'u', now, 'due', stamp, 'a', 0, 'n', 0, 'rc', 0, 'f', 0)
      call('ZADD', P .. 'all:' .. t, stamp, id)
      call('ZADD', P .. 'state:' .. t .. '|queued', stamp, id)
      call('ZADD', P .. 'hook:' .. outlet, stamp, id)
      call('ZADD', P .. 'lane0:' .. outlet, stamp, id)
      call('ZADD', P .. 'untried', stamp, id)
      touched[outlet] = true
      stamp = stamp + 1
    end
    call('HSET', P .. 'e:' .. event.id, 't', t, 'et', event.et, 'ot', event.ot, 'rx', event.rx, 'n', #ids)
    call('SET', P .. 'context:' .. event.id, event.ctx)
    event.follows = table.concat(ids, ' ')
    call('SET', P .. 'follows:' .. event.id, event.follows .. '\n' .. event.x)
    if #ids == 0 then call('ZADD', P .. 'ended:unmatched', now, event.id) end
    if event.key and window > 0 then
      call('SET', P .. 'idem:' .. event.key, event.id .. ' ' .. event.fingerprint, 'PX', math.ceil(window / 1000))
    end
    count('queued', #ids)
    use(t, 'e', 1)
  end
  answers[#answers + 1] = event.known and 'duplicate' or 'new'
  answers[#answers + 1] = event.known or event.id
  answers[#answers + 1] = event.follows or kept(event.known or event.id)
end
for outlet in pairs(touched) do
  if call('EXISTS', P .. 'outlet:' .. outlet) == 0 then
    call('HSET', P .. 'outlet:' .. outlet, 'gone', 1)
    call('SADD', P .. 'gone', outlet)
  end
end
refresh_all(touched)
return done(answers)
