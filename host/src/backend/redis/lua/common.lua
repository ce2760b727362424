-- What every step shares. A step is this file and then one of the others, run by Redis as a whole.
--
-- KEYS[1]  the shard's prefix, such as "hookbox:{0}:" ("{hookbox:0}:" in stores set up by earlier versions). Every key
--          begins with it, so all are in one slot, and this one, which never exists, says which; the others cannot be
--          named beforehand. While a slot is being moved Redis therefore refuses all steps of the shard, which wait.
-- ARGV[1]  the moment after which the step must not be made any more; 0: it may always
-- ARGV[2]  deliveries under way at once for a webhook that does not say
-- ARGV[3]  claims without a settlement before a delivery is poisonous
--
-- Times are microseconds since the epoch, by this server's clock. Members "tenant|webhook" name an outlet.
--
-- KEY                     TYPE  HOLDS
-- d:DELIVERY              hash  t tenant, e event, w webhook, r rule, ot and et the event's types, s state, c created (and
--                               its unique stamp), u updated, due its place in lane0 or when it is due in lane1, a attempts since requeued, n attempts
--                               in all, rc receives, f fence, sf the id of its last settlement, lr last result,
--                               le the kind of the last attempt's error ('' or none: it did not fail), wk worker and la when it was leased last
-- a:DELIVERY              list  its last attempts: JSON, or "lost WORKER LEASED_AT NOW"
-- e:EVENT                 hash  t tenant, et, ot, rx received (ms), n deliveries that are kept. What is long is beside it,
--                               so that Redis keeps this one small:
-- context:EVENT           str   what templates see, as JSON
-- follows:EVENT           str   the ids of all deliveries; after a line break the explanation, as JSON
-- idem:TENANT|KEY         str   event and fingerprint; expires
-- all:TENANT              zset  deliveries by c;  state:TENANT|STATE and hook:TENANT|WEBHOOK likewise;
--                               error:TENANT|KIND  those whose last attempt failed with an error of this kind
-- lane0:OUTLET            zset  deliveries that wait for a first attempt, by due;  lane1:OUTLET for a retry
-- untried                 zset  queued deliveries without any attempt, by c
-- leases                  zset  started deliveries by when the lease ends
-- outlet:OUTLET           hash  off, max, in (under way), paused, rate, burst, tat, rate_ready, served, firsts,
--                               open, ready, gone, spec (digest of the webhook's spec)
-- open:TENANT             zset  webhooks that can be claimed from, by when they were served
-- ring                    zset  tenants with such webhooks, by when they were served;  turns: hash, also of the others
-- due                     zset  outlets that time will open, by when
-- paused, pauses:TENANT   zset  paused outlets, and a tenant's paused webhooks, by until when
-- gone, draining          set   outlets without a webhook, and those whose deliveries are being cancelled
-- ended:done|failed       zset  ended deliveries by when;  ended:unmatched: events that set off nothing
-- counts                  hash  deliveries in each state
-- workers                 hash  "LAST_SEEN JSON" by id
-- usage:TENANT|DAY        hash  what was used, by hour; expires
-- stamp, tick             str   the last stamp, the last turn
-- told                    str   the moment in `due` for which a worker was last woken by one that was full
-- seen, ping              str   written for the sake of writing
-- rev:TENANT              str   revision of what the tenant configured, a stamp
-- KIND:TENANT             hash  documents of webhooks, rules, secrets, plugins or keys by id; KIND.name: the name by id; KIND.id: the id
--                               by name; KIND.sorted: zset of the names
-- uses:OUTLET             zset  names of the rules that name the webhook;  targets:TENANT  hash  the webhooks by rule id
-- webhook.plugin:TENANT   hash  the plugin that a webhook names, by its id
-- plugin.webhooks:TENANT|PLUGIN   zset  names of the webhooks that name the plugin
-- plugin.versions:TENANT  hash  the SHA-256 of a plugin's components by its name
-- component.plugins:TENANT|SHA256  set  plugins that need the component
-- components:TENANT       hash  "UPLOAD|PIECES" of the components that are whole, by SHA-256
-- piece:UPLOAD|N          str   a part of a component, binary
-- component.bytes:TENANT  hash  bytes of each upload of which there may be pieces, needed or not
-- keep                    zset  "TENANT|SHA256|UPLOAD|PIECES" of what is being or was stored, by when it may be removed, unless
--                               a plugin needs it then
-- trial:TENANT|PLUGIN     hash  of a plugin's latest trial: started (ms), canary and current (attempts), canary.failed and
--                               current.failed; expires
-- hashes                  hash  an API key's tenant and id by its hash (in shard 0 like all of KIND keys)
-- meta                    hash  shards, instance_key (in shard 0)
-- wake                    list  holds one element if a waiting worker should look
local P = KEYS[1]
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local CAP, MAX_RECEIVES = tonumber(ARGV[2]), tonumber(ARGV[3])
local KEPT_ATTEMPTS, HOUR, DAY = 100, 3600000000, 86400
local TRIAL = 30 * DAY
if ARGV[1] ~= '0' and now > tonumber(ARGV[1]) then return {'LATE'} end

-- Numbers up to 2^53 as they are; `..` would round them.
local function text(n) return string.format('%.0f', n) end

-- The first of n stamps that nothing else has and that rise within the shard.
local function stamps(n)
  local first = math.max(now, tonumber(call('GET', P .. 'stamp') or 0) + 1)
  call('SET', P .. 'stamp', first + n - 1)
  return first
end

-- Whether a waiting worker should look. Set by whatever makes something claimable now (refresh, when it
-- opens an outlet) or sooner than anybody who waits can know (refresh, when an outlet becomes the first that
-- time will open), and by what frees or changes an outlet in other ways.
local moved, woken = {}, false
local function count(state, n) moved[state] = (moved[state] or 0) + n end

-- Ends every step that moves deliveries.
local function done(...)
  for state, n in pairs(moved) do
    if n ~= 0 then call('HINCRBY', P .. 'counts', state, n) end
  end
  if woken and call('EXISTS', P .. 'wake') == 0 then call('RPUSH', P .. 'wake', 1) end
  return {'OK', ...}
end

local function use(tenant, what, n)
  if n == 0 then return end
  local hour = math.floor(now / HOUR)
  local key = P .. 'usage:' .. tenant .. '|' .. math.floor(hour / 24)
  -- Only the first of a kind in an hour sets the time of expiry.
  if call('HINCRBY', key, (hour % 24) .. what, n) == n then call('EXPIRE', key, 401 * DAY) end
end

local function find(id)
  local v = call('HMGET', P .. 'd:' .. id, 't', 'w', 's', 'c', 'a', 'n', 'rc', 'f', 'due', 'e', 'sf', 'wk', 'la', 'le')
  if not v[1] then return nil end
  return {
    id = id, t = v[1], w = v[2], s = v[3], c = v[4], a = tonumber(v[5]), n = tonumber(v[6]),
    rc = tonumber(v[7]), f = v[8], due = v[9], e = v[10], sf = v[11], wk = v[12], la = v[13], le = v[14] or '',
    outlet = v[1] .. '|' .. v[2],
  }
end

local function ended_key(state) return P .. (state == 'failed' and 'ended:failed' or 'ended:done') end
local function is_ended(state)
  return state == 'finished' or state == 'failed' or state == 'skipped' or state == 'cancelled'
end

-- From one state to another: the lists, the counts, and what else depends on the state alone.
local function move(d, state)
  if d.s ~= state then
    call('ZREM', P .. 'state:' .. d.t .. '|' .. d.s, d.id)
    call('ZADD', P .. 'state:' .. d.t .. '|' .. state, d.c, d.id)
    count(d.s, -1)
    count(state, 1)
  end
  if is_ended(d.s) then call('ZREM', ended_key(d.s), d.id) end
  if is_ended(state) then call('ZADD', ended_key(state), now, d.id) end
  if d.s == 'started' then
    call('ZREM', P .. 'leases', d.id)
    call('HINCRBY', P .. 'outlet:' .. d.outlet, 'in', -1)
  end
  d.s = state
end

-- Notes the kind of the last attempt's error, '' for none, in the lists; the caller stores it as `le`.
local function ended_with(d, kind)
  if d.le == kind then return end
  if d.le ~= '' then call('ZREM', P .. 'error:' .. d.t .. '|' .. d.le, d.id) end
  if kind ~= '' then call('ZADD', P .. 'error:' .. d.t .. '|' .. kind, d.c, d.id) end
  d.le = kind
end

-- The lane of a delivery that goes on waiting where it was.
local function back_to_lane(d)
  local lane = d.a > 0 and 'lane1:' or 'lane0:'
  call('ZADD', P .. lane .. d.outlet, d.due, d.id)
  if d.n == 0 then call('ZADD', P .. 'untried', d.c, d.id) end
end

-- What was claimed goes back to where it waited, uncounted.
local function give_back(d)
  move(d, 'queued')
  back_to_lane(d)
  call('HSET', P .. 'd:' .. d.id, 's', 'queued', 'u', now, 'rc', math.max(d.rc - 1, 0))
end

-- Holds all of an outlet's deliveries back; a shorter span (in microseconds) does not end a longer one.
local function pause(d, span)
  local before = tonumber(call('HGET', P .. 'outlet:' .. d.outlet, 'paused') or 0)
  local till = math.max(before, now + span)
  call('HSET', P .. 'outlet:' .. d.outlet, 'paused', till)
  call('ZADD', P .. 'paused', till, d.outlet)
  call('ZADD', P .. 'pauses:' .. d.t, till, d.w)
end

local function out_of_lanes(d)
  call('ZREM', P .. 'lane0:' .. d.outlet, d.id)
  call('ZREM', P .. 'lane1:' .. d.outlet, d.id)
  if d.n == 0 then call('ZREM', P .. 'untried', d.id) end
end

local function record(id, attempt)
  if call('RPUSH', P .. 'a:' .. id, attempt) > KEPT_ATTEMPTS then
    call('LTRIM', P .. 'a:' .. id, -KEPT_ATTEMPTS, -1)
  end
end

local function split(outlet) return string.match(outlet, '^([^|]*)|(.*)$') end

-- Decides afresh whether an outlet can be claimed from: once it is neither paused nor over its rate, has
-- room, and there is a first attempt to be made, or the first of its retries is due. (In lane0 scores are an
-- order and no times: a clock that was set back must not hold first attempts up.) Called by every step after
-- what could change that. What holds afterwards: the webhook is a member of open:TENANT if and only if its
-- outlet has `open`, the tenant is in the ring if and only if open:TENANT has members, and the outlet is a member
-- of `due` if and only if it has `ready`.
local function refresh(outlet)
  local tenant, webhook = split(outlet)
  local key = P .. 'outlet:' .. outlet
  local o = call('HMGET', key, 'off', 'max', 'in', 'paused', 'rate_ready', 'open', 'ready', 'served')
  local at
  if o[1] ~= '1' and tonumber(o[3] or 0) < math.max(tonumber(o[2] or CAP), 1) then
    local first = call('EXISTS', P .. 'lane0:' .. outlet) == 1
    local retry = call('ZRANGE', P .. 'lane1:' .. outlet, 0, 0, 'WITHSCORES')[2]
    if first or retry then
      at = math.max(first and 0 or tonumber(retry), tonumber(o[4] or 0), tonumber(o[5] or 0))
    end
  end
  local was_open, ready = o[6] == '1', o[7]
  if at and at <= now then
    if not was_open then
      call('HSET', key, 'open', 1)
      call('ZADD', P .. 'open:' .. tenant, o[8] or 0, webhook)
      call('ZADD', P .. 'ring', 'NX', call('HGET', P .. 'turns', tenant) or 0, tenant)
      woken = true
    end
    at = nil
  elseif was_open then
    call('HDEL', key, 'open')
    call('ZREM', P .. 'open:' .. tenant, webhook)
    if call('EXISTS', P .. 'open:' .. tenant) == 0 then call('ZREM', P .. 'ring', tenant) end
  end
  if at then
    if not ready or tonumber(ready) ~= at then
      call('HSET', key, 'ready', at)
      call('ZADD', P .. 'due', at, outlet)
      if call('ZRANGE', P .. 'due', 0, 0)[1] == outlet then woken = true end
    end
  elseif ready then
    call('HDEL', key, 'ready')
    call('ZREM', P .. 'due', outlet)
  end
end

local function refresh_all(outlets)
  for outlet in pairs(outlets) do refresh(outlet) end
end

-- A plugin does not need a component any more. If no other does and nobody is about to name it, it is gone, and its
-- pieces go with the next sweep.
local function let_go(t, plugin, sha)
  local plugins = P .. 'component.plugins:' .. t .. '|' .. sha
  call('SREM', plugins, plugin)
  local whole = call('HGET', P .. 'components:' .. t, sha)
  if whole and call('EXISTS', plugins) == 0
    and call('ZADD', P .. 'keep', 'NX', 0, t .. '|' .. sha .. '|' .. whole) == 1 then
    call('HDEL', P .. 'components:' .. t, sha)
  end
end

-- Who names a plugin: the webhook of this name does no longer.
local function leave_plugin(t, webhook, name)
  local plugin = call('HGET', P .. 'webhook.plugin:' .. t, webhook)
  if plugin then
    call('ZREM', P .. 'plugin.webhooks:' .. t .. '|' .. plugin, name)
    call('HDEL', P .. 'webhook.plugin:' .. t, webhook)
  end
end
