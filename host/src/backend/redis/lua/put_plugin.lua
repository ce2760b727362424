-- Stores a plugin, and lets go of the components that it needs no more.
-- ARGV[10] when the rollout began that is under way (ms), or '', [11...] SHA-256 of all versions
-- Answers also COMPONENT and which one is missing.
local function check()
  for i = 11, #ARGV do
    if call('HEXISTS', P .. 'components:' .. t, ARGV[i]) == 0 then return {'COMPONENT', ARGV[i]} end
  end
end
local refused = refusal('plugins', check)
if refused then return refused end

local needed = {}
for i = 11, #ARGV do
  local sha = ARGV[i]
  needed[sha] = true
  if call('SADD', P .. 'component.plugins:' .. t .. '|' .. sha, id) == 1 then
    call('ZREM', P .. 'keep', t .. '|' .. sha .. '|' .. call('HGET', P .. 'components:' .. t, sha))
  end
end
for sha in string.gmatch(call('HGET', P .. 'plugin.versions:' .. t, id) or '', '%S+') do
  if not needed[sha] then let_go(t, id, sha) end
end
call('HSET', P .. 'plugin.versions:' .. t, id, table.concat(ARGV, ' ', 11))
local trial = P .. 'trial:' .. t .. '|' .. id
if (call('HGET', trial, 'started') or '') ~= ARGV[10] then
  call('DEL', trial)
  if ARGV[10] ~= '' then
    call('HSET', trial, 'started', ARGV[10])
    call('EXPIRE', trial, TRIAL)
  end
end
store('plugins')
revise()
return done()
