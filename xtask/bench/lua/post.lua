-- POST of a body that is never twice the same. Arguments: the list, the
-- body, in which every @ becomes a name of its own, and what those names begin with.

dofile(os.getenv("BENCH_LUA") .. "/common.lua")

function init(args)
  list = read_list(args[1])
  body, run = args[2], args[3]
  made = 0
  for _, one in ipairs(list) do one.headers = json_headers_of(one.token) end
end

function request()
  made = made + 1
  local one = list[made % #list + 1]
  local name = run .. "-" .. thread_id .. "-" .. made
  return wrk.format("POST", one.path, one.headers, (body:gsub("@", name)))
end
