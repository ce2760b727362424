-- Shared by the put_KIND steps, which store something that has a name: new or changed. Each of them stands after this.
-- ARGV[4] tenant, [5] id, [6] name, [7] document; [8] the tenant's revision that the change is based on, or '';
-- [9] how many there may be, or ''; [10...] what its kind has besides.
-- Answers OK, CHANGED, FULL, NAME (the name is taken), or what the kind's own check answers.
local t, id, name, document = ARGV[4], ARGV[5], ARGV[6], ARGV[7]

-- What the step has to answer at once, if it must not be made; `check` is the kind's own part of this.
local function refusal(kind, check)
  local all = P .. kind .. ':' .. t
  if ARGV[8] ~= '' and (call('GET', P .. 'rev:' .. t) or '0') ~= ARGV[8] then
    -- Perhaps by this very step, whose first answer was lost on the way.
    if call('HGET', all, id) ~= document then return {'CHANGED'} end
    call('SET', P .. 'seen', now)
    return {'OK'}
  end
  local other = call('HGET', P .. kind .. '.id:' .. t, name)
  if other and other ~= id then return {'NAME'} end
  local missing = check and check()
  if missing then return missing end
  if ARGV[9] ~= '' and call('HEXISTS', all, id) == 0 and call('HLEN', all) >= tonumber(ARGV[9]) then
    return {'FULL'}
  end
end

-- The name it had before, or false.
local function name_before(kind) return call('HGET', P .. kind .. '.name:' .. t, id) end

local function store(kind)
  local names, ids, sorted = P .. kind .. '.name:' .. t, P .. kind .. '.id:' .. t, P .. kind .. '.sorted:' .. t
  local before = name_before(kind)
  if before and before ~= name then
    call('HDEL', ids, before)
    call('ZREM', sorted, before)
  end
  call('HSET', P .. kind .. ':' .. t, id, document)
  call('HSET', names, id, name)
  call('HSET', ids, name, id)
  call('ZADD', sorted, 0, name)
end

-- Gives what the tenant configured a new revision.
local function revise()
  call('SET', P .. 'rev:' .. t, math.max(now, tonumber(call('GET', P .. 'rev:' .. t) or 0) + 1))
end
