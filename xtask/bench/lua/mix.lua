-- Of 100 calls 90 verify a key, 5 issue one, 4 list keys, 1 revokes one that was issued before.
-- Arguments: the list of keys to verify, the admin key, the body of a new key.

dofile(os.getenv("BENCH_LUA") .. "/common.lua")

function init(args)
  list = read_list(args[1])
  verify = {}
  for n, one in ipairs(list) do verify[n] = wrk.format("GET", "/cp/whoami", headers_of(one.token)) end
  admin = json_headers_of(args[2])
  create = wrk.format("POST", "/cp/admin/partner-keys", admin, args[3])
  keys = wrk.format("GET", "/cp/admin/partner-keys?limit=20", admin)
  issued, first, last = {}, 1, 0
  random = math.random
end

function request()
  local die = random(100)
  if die <= 90 then return verify[random(#verify)] end
  if die <= 95 then return create end
  if die <= 99 or first > last then return keys end
  local id = issued[first]
  issued[first] = nil
  first = first + 1
  return wrk.format("DELETE", "/cp/admin/partner-keys/" .. id, admin)
end

function response(status, headers, body)
  if status == 201 then
    local id = body:match('"id":%s*"(pak_%w+)"')
    if id then
      last = last + 1
      issued[last] = id
    end
  end
end
