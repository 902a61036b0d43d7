-- What every script shares: the list of credentials, an id for each thread, and the sum as one line.

local threads = 0

function setup(thread)
  thread:set("thread_id", threads)
  threads = threads + 1
end

-- Lines of "path token"; a path of "-" is left to the script.
function read_list(file)
  local list = {}
  for line in io.lines(file) do
    local path, token = line:match("^(%S+) (%S+)$")
    if path then list[#list + 1] = { path = path, token = token } end
  end
  assert(#list > 0, "the list is empty")
  -- Each thread and each run picks in another order.
  math.randomseed(os.time() * 16 + thread_id)
  return list
end

function headers_of(token)
  return { ["Authorization"] = "Bearer " .. token, ["x-api-key"] = token }
end

function json_headers_of(token)
  local headers = headers_of(token)
  headers["Content-Type"] = "application/json"
  return headers
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nSUM {"requests":%d,"micros":%d,"status_errors":%d,"socket_errors":%d,' ..
    '"p50_us":%.1f,"p90_us":%.1f,"p99_us":%.1f,"max_us":%.1f}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
