-- HTTP/2 without TLS on the plain port, for an NGINX that cannot tell it from HTTP/1 there (before 1.25.1): what a
-- client says first (RFC 9113 3.4) is a bad request to it, which ends in the error page of 400. From there the
-- connection is led on as it is to a socket on which NGINX speaks HTTP/2, behind a PROXY line with its address.

local ngx = ngx

local FIRST_LINE = "PRI * HTTP/2.0"
local CONNECTING, WRITING, READING = 5000, 60000, 86400000 -- who has been silent for too long is known behind
local AT_ONCE = 65536

local _M = {}

local place

function _M.configure(socket)
  place = socket
end

local function pass_on(from, to)
  while true do
    local data = from:receiveany(AT_ONCE)
    if not data or not to:send(data) then
      return
    end
  end
end

local function proxy_line()
  local var = ngx.var
  local family = var.remote_addr:find(":", 1, true) and "TCP6 " or "TCP4 "
  return "PROXY " .. family .. var.remote_addr .. " " .. var.server_addr .. " " .. var.remote_port .. " "
    .. var.server_port .. "\r\n"
end

-- To be run where requests end that NGINX calls bad.
function _M.take_over()
  if ngx.var.request ~= FIRST_LINE or ngx.var.https == "on" then
    return ngx.exit(400)
  end
  ngx.var.tidegate_quiet = "1" -- each of its requests is logged by itself
  local server, client = ngx.socket.tcp(), ngx.req.socket(true)
  server:settimeouts(CONNECTING, WRITING, READING)
  local connected, reason = server:connect(place)
  if not (connected and client) then
    ngx.log(ngx.ERR, "HTTP/2 without TLS: ", reason or "no connection")
    return ngx.exit(444)
  end
  client:settimeouts(CONNECTING, WRITING, READING)
  if server:send(proxy_line()) then
    ngx.thread.wait(ngx.thread.spawn(pass_on, client, server), ngx.thread.spawn(pass_on, server, client))
  end
  server:close()
  return ngx.exit(ngx.OK)
end

return _M
