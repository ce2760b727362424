-- Stores an API key. ARGV[10] its hash.
-- Answers also HASH: another key has this hash.
local hashes, hash = P .. 'hashes', ARGV[10]
local function check()
  local owner = call('HGET', hashes, hash)
  if owner and owner ~= t .. '|' .. id then return {'HASH'} end
end
local refused = refusal('keys', check)
if refused then return refused end

local before = call('HGET', P .. 'keys:' .. t, id)
if before then call('HDEL', hashes, cjson.decode(before).hash) end
call('HSET', hashes, hash, t .. '|' .. id)
store('keys')
return done()
