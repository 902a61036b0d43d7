-- Counts calls against one limit or several: against all of them or none.
--
-- KEYS[1]    the marker of this server's state
-- KEYS[2…]   one key for each subject
-- ARGV[1]    the generation of the state that the caller knows
-- ARGV[2]    how many calls to count at the most; 0 counts none, fewer than 0 are given back
-- ARGV[3…]   for each subject its period and its window, in nanoseconds
--
-- Returns {-1} and changes nothing when the state is of another generation: this server has lost the debts
-- that the caller knows. Else {counted, debt of the first subject before, of the second, …}; when calls are
-- given back, counted is 0.

if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return {-1} end

local counted = tonumber(ARGV[2])
local debts, overdue = {}, {}
for i = 2, #KEYS do
    local period, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    debts[i], overdue[i] = owed(KEYS[i], period, window)
    counted = math.min(counted, math.floor((window - debts[i]) / period))
end

local reply = {math.max(counted, 0)}
for i = 2, #KEYS do
    local period = tonumber(ARGV[2 * i - 1])
    if counted ~= 0 or overdue[i] then
        store(KEYS[i], debts[i] + counted * period, period)
    end
    reply[i] = debts[i]
end
return reply
