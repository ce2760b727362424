-- Stores a secret.
local refused = refusal('secrets')
if refused then return refused end
store('secrets')
revise()
return done()
