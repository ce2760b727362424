-- Stores a component in pieces. ARGV[4] begin, piece or end; [5] tenant, [6] SHA-256, [7] what this upload is called,
-- [8] how many pieces there are; begin: [9] how many bytes, [10] how many the tenant may have with them, or '';
-- piece: [9] which one, from 0, [10] its bytes.
-- Answers OK and 1 if the component is there, 0 if there is more to do; GONE if the upload was removed; or FULL and how
-- many bytes there are.
local what, t, sha, upload = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local own = upload .. '|' .. ARGV[8]
local mine = t .. '|' .. sha .. '|' .. own
local whole = call('HGET', P .. 'components:' .. t, sha)
if whole and what ~= 'piece' then
  -- By this very upload, whose answer was lost on the way, or by another one.
  if whole ~= own then call('ZADD', P .. 'keep', 'XX', 0, mine) end
  call('ZADD', P .. 'keep', now + HOUR, t .. '|' .. sha .. '|' .. whole)
  return {'OK', 1}
end
if what == 'begin' then
  local sizes = P .. 'component.bytes:' .. t
  if ARGV[10] ~= '' then
    local stored = 0
    for _, bytes in ipairs(call('HVALS', sizes)) do stored = stored + bytes end
    -- Unless it has begun already, and its first answer was lost on the way.
    if stored + ARGV[9] > tonumber(ARGV[10]) and call('HEXISTS', sizes, upload) == 0 then
      return {'FULL', stored}
    end
  end
  call('HSET', sizes, upload, ARGV[9])
  call('ZADD', P .. 'keep', now + HOUR, mine)
  return {'OK', 0}
end
if not call('ZSCORE', P .. 'keep', mine) then return {'GONE'} end
if what == 'piece' then
  call('SET', P .. 'piece:' .. upload .. '|' .. ARGV[9], ARGV[10])
  return {'OK', 0}
end
for n = 0, tonumber(ARGV[8]) - 1 do
  if call('EXISTS', P .. 'piece:' .. upload .. '|' .. n) == 0 then return {'GONE'} end
end
call('HSET', P .. 'components:' .. t, sha, own)
call('ZADD', P .. 'keep', now + HOUR, mine)
return {'OK', 1}
