-- POST of forms, each once. Arguments: the path, the file with one form in each line, how many threads there are.
-- A thread that has sent its own begins again, which a server refuses: then there are too few lines.

dofile(os.getenv("BENCH_LUA") .. "/common.lua")

function init(args)
  local path, threads = args[1], tonumber(args[3])
  local headers = { ["Content-Type"] = "application/x-www-form-urlencoded" }
  requests, n = {}, 0
  for line in io.lines(args[2]) do
    if n % threads == thread_id then requests[#requests + 1] = wrk.format("POST", path, headers, line) end
    n = n + 1
  end
  assert(#requests > 0, "the file is empty")
  made = 0
end

function request()
  made = made + 1
  return requests[(made - 1) % #requests + 1]
end
