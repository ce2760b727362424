-- How the queue stands. ARGV[4] tenant, or '' for all of this shard; [5] paused webhooks at most.
-- Answers: state and number in turn; when the oldest delivery without an attempt was created (0: none); the
-- paused webhooks, webhook and until when in turn.
local tenant, most, numbers, oldest, paused = ARGV[4], tonumber(ARGV[5]), {}, 0, {}
if tenant == '' then
  numbers = call('HGETALL', P .. 'counts')
  oldest = call('ZRANGE', P .. 'untried', 0, 0, 'WITHSCORES')[2] or 0
  local found = call('ZRANGEBYSCORE', P .. 'paused', text(now + 1), '+inf', 'WITHSCORES', 'LIMIT', 0, most)
  for i = 1, #found, 2 do
    local _, webhook = split(found[i])
    paused[#paused + 1], paused[#paused + 2] = webhook, found[i + 1]
  end
else
  for _, state in ipairs({'queued', 'started', 'scheduled', 'finished', 'failed', 'skipped', 'cancelled'}) do
    numbers[#numbers + 1], numbers[#numbers + 2] = state, call('ZCARD', P .. 'state:' .. tenant .. '|' .. state)
  end
  -- Requeued ones may be older; past a thousand of those the answer may name a younger one as the oldest.
  for _, id in ipairs(call('ZRANGE', P .. 'state:' .. tenant .. '|queued', 0, 999)) do
    local d = call('HMGET', P .. 'd:' .. id, 'n', 'c')
    if d[1] == '0' then
      oldest = d[2]
      break
    end
  end
  paused = call('ZRANGEBYSCORE', P .. 'pauses:' .. tenant, text(now + 1), '+inf', 'WITHSCORES', 'LIMIT', 0, most)
end
return {'OK', numbers, oldest, paused}
