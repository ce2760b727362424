-- All that a tenant has configured, and its revision, at one moment. ARGV[4] tenant.
local t = ARGV[4]
return {'OK', call('GET', P .. 'rev:' .. t) or '0', call('HVALS', P .. 'webhooks:' .. t),
  call('HVALS', P .. 'rules:' .. t), call('HGETALL', P .. 'secrets:' .. t), call('HVALS', P .. 'plugins:' .. t)}
