-- Stores a webhook, and puts its outlet in force.
-- ARGV[10] enabled (1 or 0), [11] deliveries in flight at most ('' for the default), [12] microseconds between two
-- claims (0: no limit), [13] how far ahead of that they may run, [14] digest of the spec, [15] the plugin that it names,
-- without a version, or ''
local enabled, most, rate, burst, spec, plugin = ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14], ARGV[15]
local refused = refusal('webhooks')
if refused then return refused end

leave_plugin(t, id, name_before('webhooks'))
if plugin ~= '' then
  call('HSET', P .. 'webhook.plugin:' .. t, id, plugin)
  call('ZADD', P .. 'plugin.webhooks:' .. t .. '|' .. plugin, 0, name)
end
store('webhooks')
revise()

local outlet = t .. '|' .. id
local key = P .. 'outlet:' .. outlet
local o = call('HMGET', key, 'rate', 'spec')
call('SREM', P .. 'gone', outlet)
call('SREM', P .. 'draining', outlet)
call('HDEL', key, 'gone', 'max')
call('HSET', key, 'off', enabled == '1' and 0 or 1, 'rate', rate, 'burst', burst, 'spec', spec)
if most ~= '' then call('HSET', key, 'max', most) end
-- A changed rate limit starts with a full burst. Any change ends a pause.
if (o[1] or '0') ~= rate then call('HDEL', key, 'tat', 'rate_ready') end
if o[2] ~= spec then
  call('HDEL', key, 'paused')
  call('ZREM', P .. 'paused', outlet)
  call('ZREM', P .. 'pauses:' .. t, id)
end
refresh(outlet)
woken = true
return done()
