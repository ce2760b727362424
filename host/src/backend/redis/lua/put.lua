-- Stores something with a name, new or changed.
-- ARGV[4] kind: webhooks, rules, secrets, plugins or keys; [5] tenant, [6] id, [7] name, [8] document;
-- [9] the tenant's revision on which this was decided, or ''; [10] how many there may be, or '';
-- webhooks: [11] enabled (1 or 0), [12] deliveries under way at most ('' for the default), [13] microseconds between
--   two claims (0: no limit), [14] how far ahead of that they may run, [15] digest of the spec,
--   [16] the plugin that it names, without a version, or ''
-- rules: [11...] webhooks;  keys: [11] hash of the key
-- plugins: [11] when the trial began that is under way (ms), or '', [12...] SHA-256 of all versions
-- Answers OK, CHANGED, FULL, NAME (the name is taken), HASH (the key is in use), or WEBHOOK or COMPONENT and which is
-- missing.
local kind, t, id, name = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local all, names, ids = P .. kind .. ':' .. t, P .. kind .. '.name:' .. t, P .. kind .. '.id:' .. t
if ARGV[9] ~= '' and (call('GET', P .. 'rev:' .. t) or '0') ~= ARGV[9] then
  -- Perhaps by this very step, whose first answer was lost on the way.
  if call('HGET', all, id) ~= ARGV[8] then return {'CHANGED'} end
  call('SET', P .. 'seen', now)
  return {'OK'}
end
local other = call('HGET', ids, name)
if other and other ~= id then return {'NAME'} end
if kind == 'rules' then
  for i = 11, #ARGV do
    if call('HEXISTS', P .. 'webhooks:' .. t, ARGV[i]) == 0 then return {'WEBHOOK', ARGV[i]} end
  end
elseif kind == 'keys' then
  local owner = call('HGET', P .. 'hashes', ARGV[11])
  if owner and owner ~= t .. '|' .. id then return {'HASH'} end
elseif kind == 'plugins' then
  for i = 12, #ARGV do
    if call('HEXISTS', P .. 'components:' .. t, ARGV[i]) == 0 then return {'COMPONENT', ARGV[i]} end
  end
end
if ARGV[10] ~= '' and call('HEXISTS', all, id) == 0 and call('HLEN', all) >= tonumber(ARGV[10]) then return {'FULL'} end

local before = call('HGET', names, id)
if kind == 'rules' then
  local targets = P .. 'targets:' .. t
  for webhook in string.gmatch(call('HGET', targets, id) or '', '%S+') do
    call('ZREM', P .. 'uses:' .. t .. '|' .. webhook, before)
  end
  for i = 11, #ARGV do call('ZADD', P .. 'uses:' .. t .. '|' .. ARGV[i], 0, name) end
  call('HSET', targets, id, table.concat(ARGV, ' ', 11))
elseif kind == 'keys' then
  local document = call('HGET', all, id)
  if document then call('HDEL', P .. 'hashes', cjson.decode(document).hash) end
  call('HSET', P .. 'hashes', ARGV[11], t .. '|' .. id)
elseif kind == 'webhooks' then
  leave_plugin(t, id, before)
  if ARGV[16] ~= '' then
    call('HSET', P .. 'webhook.plugin:' .. t, id, ARGV[16])
    call('ZADD', P .. 'plugin.webhooks:' .. t .. '|' .. ARGV[16], 0, name)
  end
elseif kind == 'plugins' then
  local needed = {}
  for i = 12, #ARGV do
    local sha = ARGV[i]
    needed[sha] = true
    if call('SADD', P .. 'component.plugins:' .. t .. '|' .. sha, id) == 1 then
      call('ZREM', P .. 'keep', t .. '|' .. sha .. '|' .. call('HGET', P .. 'components:' .. t, sha))
    end
  end
  for sha in string.gmatch(call('HGET', P .. 'plugin.versions:' .. t, id) or '', '%S+') do
    if not needed[sha] then let_go(t, id, sha) end
  end
  call('HSET', P .. 'plugin.versions:' .. t, id, table.concat(ARGV, ' ', 12))
  local trial = P .. 'trial:' .. t .. '|' .. id
  if (call('HGET', trial, 'started') or '') ~= ARGV[11] then
    call('DEL', trial)
    if ARGV[11] ~= '' then
      call('HSET', trial, 'started', ARGV[11])
      call('EXPIRE', trial, TRIAL)
    end
  end
end
if before and before ~= name then
  call('HDEL', ids, before)
  call('ZREM', P .. kind .. '.sorted:' .. t, before)
end
call('HSET', all, id, ARGV[8])
call('HSET', names, id, name)
call('HSET', ids, name, id)
call('ZADD', P .. kind .. '.sorted:' .. t, 0, name)
if kind ~= 'keys' then
  call('SET', P .. 'rev:' .. t, math.max(now, tonumber(call('GET', P .. 'rev:' .. t) or 0) + 1))
end

if kind == 'webhooks' then
  local outlet = t .. '|' .. id
  local key = P .. 'outlet:' .. outlet
  local o = call('HMGET', key, 'rate', 'spec')
  call('SREM', P .. 'gone', outlet)
  call('SREM', P .. 'draining', outlet)
  call('HDEL', key, 'gone', 'max')
  call('HSET', key, 'off', ARGV[11] == '1' and 0 or 1, 'rate', ARGV[13], 'burst', ARGV[14], 'spec', ARGV[15])
  if ARGV[12] ~= '' then call('HSET', key, 'max', ARGV[12]) end
  -- A changed rate limit starts with a full burst; whatever has changed, a pause is over.
  if (o[1] or '0') ~= ARGV[13] then call('HDEL', key, 'tat', 'rate_ready') end
  if o[2] ~= ARGV[15] then
    call('HDEL', key, 'paused')
    call('ZREM', P .. 'paused', outlet)
    call('ZREM', P .. 'pauses:' .. t, id)
  end
  refresh(outlet)
  woken = true
end
return done()
