-- Removes a component that no plugin needs, or an upload that was given up. Answers how many were looked at: 1 or 0.
local member = call('ZRANGEBYSCORE', P .. 'keep', '-inf', now, 'LIMIT', 0, 1)[1]
if not member then return {'OK', 0} end
call('ZREM', P .. 'keep', member)
local t, sha, upload, pieces = string.match(member, '^([^|]*)|([^|]*)|([^|]*)|(%d+)$')
if t then
  local components = P .. 'components:' .. t
  local is_whole = call('HGET', components, sha) == upload .. '|' .. pieces
  if is_whole and call('EXISTS', P .. 'component.plugins:' .. t .. '|' .. sha) == 1 then return {'OK', 1} end
  if is_whole then call('HDEL', components, sha) end
  call('HDEL', P .. 'component.bytes:' .. t, upload)
  for n = 0, tonumber(pieces) - 1 do call('UNLINK', P .. 'piece:' .. upload .. '|' .. n) end
end
return {'OK', 1}
