-- Removes something with a name. ARGV[4] kind, [5] tenant, [6] id. Answers OK and 1, or 0 if there was none; or
-- USED and a rule's or webhook's name if a webhook or plugin is still named by it.
local kind, t, id = ARGV[4], ARGV[5], ARGV[6]
local all = P .. kind .. ':' .. t
local document = call('HGET', all, id)
if not document then return {'OK', 0} end
local outlet = t .. '|' .. id
if kind == 'webhooks' then
  local rule = call('ZRANGE', P .. 'uses:' .. outlet, 0, 0)[1]
  if rule then return {'USED', rule} end
elseif kind == 'plugins' then
  local webhook = call('ZRANGE', P .. 'plugin.webhooks:' .. t .. '|' .. id, 0, 0)[1]
  if webhook then return {'USED', webhook} end
end
local name = call('HGET', P .. kind .. '.name:' .. t, id)
if kind == 'rules' then
  for webhook in string.gmatch(call('HGET', P .. 'targets:' .. t, id) or '', '%S+') do
    call('ZREM', P .. 'uses:' .. t .. '|' .. webhook, name)
  end
  call('HDEL', P .. 'targets:' .. t, id)
elseif kind == 'keys' then
  call('HDEL', P .. 'hashes', cjson.decode(document).hash)
elseif kind == 'webhooks' then
  leave_plugin(t, id, name)
elseif kind == 'plugins' then
  for sha in string.gmatch(call('HGET', P .. 'plugin.versions:' .. t, id) or '', '%S+') do let_go(t, id, sha) end
  call('HDEL', P .. 'plugin.versions:' .. t, id)
  call('DEL', P .. 'trial:' .. t .. '|' .. id)
end
call('HDEL', all, id)
call('HDEL', P .. kind .. '.name:' .. t, id)
call('HDEL', P .. kind .. '.id:' .. t, name)
call('ZREM', P .. kind .. '.sorted:' .. t, name)
if kind ~= 'keys' then
  call('SET', P .. 'rev:' .. t, math.max(now, tonumber(call('GET', P .. 'rev:' .. t) or 0) + 1))
end
if kind == 'webhooks' then
  call('HSET', P .. 'outlet:' .. outlet, 'off', 1, 'gone', 1)
  call('SADD', P .. 'gone', outlet)
  call('SADD', P .. 'draining', outlet)
  refresh(outlet)
end
return done(1)
