-- What all scripts share: how a subject's debt is stored.
--
-- The value is "at debt period". At the time `at`, in microseconds since 1970 by this server's clock, the
-- subject owed `debt` nanoseconds, and one call is paid for in `period` nanoseconds. So its theoretical
-- arrival time (GCRA, ITU-T I.371) is at + debt. It has two parts, since Lua's numbers are doubles: whole
-- numbers are exact up to 2^53, and nanoseconds since 1970 are more than that.
--
-- A key lives until its debt is paid. A missing key is a subject without a debt.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- What a subject owes now under a limit, and whether its value must be written in any case.
local function owed(key, period, window)
    local stored = redis.call('GET', key)
    if not stored then return 0, false end
    local at, debt, was = string.match(stored, '^(%d+) (%d+) (%d+)$')
    if not at then return 0, false end
    at, debt, was = tonumber(at), tonumber(debt), tonumber(was)
    debt = math.max(0, debt - math.max(0, now - at) * 1000)
    -- Under another limit, calls that are not paid for stay so, up to the whole burst.
    if was ~= period then debt = math.floor(debt / was * period) end
    -- When this server's clock was set back, the debt is paid from now on.
    return math.min(debt, window), was ~= period or at > now
end

local function store(key, debt, period)
    if debt <= 0 then
        redis.call('DEL', key)
    else
        local value = string.format('%.0f %.0f %.0f', now, debt, period)
        redis.call('SET', key, value, 'PX', math.ceil(debt / 1000000) + 1000)
    end
end
