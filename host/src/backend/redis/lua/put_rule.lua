-- Stores an event rule. ARGV[10...] its webhooks.
-- Answers also WEBHOOK and which one is missing.
local function check()
  for i = 10, #ARGV do
    if call('HEXISTS', P .. 'webhooks:' .. t, ARGV[i]) == 0 then return {'WEBHOOK', ARGV[i]} end
  end
end
local refused = refusal('rules', check)
if refused then return refused end

local targets, before = P .. 'targets:' .. t, name_before('rules')
for webhook in string.gmatch(call('HGET', targets, id) or '', '%S+') do
  call('ZREM', P .. 'uses:' .. t .. '|' .. webhook, before)
end
for i = 10, #ARGV do call('ZADD', P .. 'uses:' .. t .. '|' .. ARGV[i], 0, name) end
call('HSET', targets, id, table.concat(ARGV, ' ', 10))
store('rules')
revise()
return done()
