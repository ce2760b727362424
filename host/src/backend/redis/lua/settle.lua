-- Stores an attempt and moves the delivery on, if the lease still holds.
-- ARGV[4] delivery, [5] fence, [6] the attempt as JSON, [7] the next state, [8] for 'scheduled' the wait in
-- microseconds, [9] how long its webhook pauses (0: not), [10] the result in one sentence, [11] 1 if it was
-- delivered, [12] fuel, [13] bytes sent, [14] the settlement's id, [15] the kind of its
-- error, or ''
-- Answers 1, or 0 if the lease was lost. The same settlement again, as its first answer was lost on the way, is
-- answered 1 and changes nothing.
local d = find(ARGV[4])
-- Before the fence is compared: the delivery may have been claimed again since.
if d and d.sf == ARGV[14] then return {'OK', 1} end
if not d or d.f ~= ARGV[5] or d.s ~= 'started' then return {'OK', 0} end
record(d.id, ARGV[6])
move(d, ARGV[7])
ended_with(d, ARGV[15])
if d.s == 'scheduled' then
  d.due = now + ARGV[8]
  call('ZADD', P .. 'lane1:' .. d.outlet, d.due, d.id)
end
call('HSET', P .. 'd:' .. d.id, 's', d.s, 'u', now, 'due', d.due, 'a', d.a + 1, 'n', d.n + 1, 'rc', 0,
  'sf', ARGV[14], 'lr', ARGV[10], 'le', d.le)
if ARGV[9] ~= '0' then pause(d, ARGV[9]) end
use(d.t, 'a', 1)
use(d.t, 'd', tonumber(ARGV[11]))
use(d.t, 'f', tonumber(ARGV[12]))
use(d.t, 'b', tonumber(ARGV[13]))
refresh(d.outlet)
return done(1)
