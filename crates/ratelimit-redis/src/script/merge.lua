-- Takes over debts that the caller knows: the greater of the stored debt and the caller's counts.
--
-- KEYS[1]    the marker of this server's state
-- KEYS[2…]   one key for each subject
-- ARGV[1]    the generation of the state that the caller knows
-- ARGV[2…]   for each subject its period, its window and what it owes by the caller, in nanoseconds
--
-- Returns {-1} and changes nothing when the state is of another generation, else {0}.

if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return {-1} end

for i = 2, #KEYS do
    local at = 3 * i - 4
    local period, window = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    local told = math.min(tonumber(ARGV[at + 2]), window)
    local debt, overdue = owed(KEYS[i], period, window)
    if told > debt or overdue then
        store(KEYS[i], math.max(told, debt), period)
    end
end
return {0}
