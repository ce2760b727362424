-- Nobody is about to name a component any more: as long as a plugin needs it, it stays, and else it goes with the next
-- sweep. ARGV[4] tenant, [5] SHA-256.
local t, sha = ARGV[4], ARGV[5]
local whole = call('HGET', P .. 'components:' .. t, sha)
if whole then
  call('ZREM', P .. 'keep', t .. '|' .. sha .. '|' .. whole)
  let_go(t, '', sha)
end
return {'OK', 1}
