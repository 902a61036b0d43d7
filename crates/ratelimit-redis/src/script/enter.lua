-- Finds the marker of this server's state, or makes it where there is none: on a new server, after a flush,
-- after a restart without persistence.
--
-- KEYS[1]    the marker
-- ARGV[1]    the generation of the state that the caller knows, or nothing
-- ARGV[2…]   the owners whose state the caller may use; the first is its own
--
-- Returns {"entered", generation} or {"foreign", owner}. It always writes, so that a server that takes no
-- writes is found out here.

local time = redis.call('TIME')
local generation = redis.call('HGET', KEYS[1], 'generation')
if not generation then
    generation = time[1] .. '.' .. time[2]
    redis.call('HSET', KEYS[1], 'generation', generation, 'owner', ARGV[2])
end
local owner = redis.call('HGET', KEYS[1], 'owner')
local mine = generation == ARGV[1]
for i = 2, #ARGV do
    mine = mine or owner == ARGV[i]
    if owner == ARGV[i] then owner = ARGV[2] end
end
if not mine then return {'foreign', owner} end
redis.call('HSET', KEYS[1], 'owner', owner, 'entered', time[1])
return {'entered', generation}
