-- wrk -t1 -c16 -d10s --latency -s users.lua http://127.0.0.1:8000
-- Asks for lists of random users: ids of the file USERS (one a line), else u0001 to u0943.
local users = {}
local file = io.open(os.getenv("USERS") or "", "r")
if file then
  for line in file:lines() do users[#users + 1] = line end
  file:close()
else
  for n = 1, 943 do users[n] = string.format("u%04d", n) end
end

local function escaped(text)
  return (text:gsub("[^%w._~-]", function(c) return string.format("%%%02X", c:byte()) end))
end

function request()
  local user = users[math.random(#users)]
  return wrk.format("GET", "/v1/recommend?k=10&user=" .. escaped(user))
end
