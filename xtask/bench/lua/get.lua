-- GET of random lines of a list. Arguments: the list.

dofile(os.getenv("BENCH_LUA") .. "/common.lua")

function init(args)
  list = read_list(args[1])
  requests = {}
  for n, one in ipairs(list) do
    requests[n] = wrk.format("GET", one.path, headers_of(one.token))
  end
  count = #requests
  random = math.random
end

function request()
  return requests[random(count)]
end
