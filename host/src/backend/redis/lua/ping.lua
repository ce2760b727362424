-- Whether this server takes writes.
call('SET', P .. 'ping', now)
return {'OK'}
