-- Wakes one waiting worker.
woken = true
return done()
