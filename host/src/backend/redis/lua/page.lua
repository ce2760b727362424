-- Things in the order of their names. ARGV[4] kind, [5] tenant, [6] the name to go on after ('' from the start),
-- [7] how many at most. Answers name and document in turn.
local from = ARGV[6] == '' and '-' or '(' .. ARGV[6]
local found = {}
for _, name in ipairs(call('ZRANGEBYLEX', P .. ARGV[4] .. '.sorted:' .. ARGV[5], from, '+', 'LIMIT', 0, ARGV[7])) do
  local id = call('HGET', P .. ARGV[4] .. '.id:' .. ARGV[5], name)
  local document = id and call('HGET', P .. ARGV[4] .. ':' .. ARGV[5], id)
  if document then
    found[#found + 1] = name
    found[#found + 1] = document
  end
end
return {'OK', found}
