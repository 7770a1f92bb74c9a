-- Copies of requests. NGINX sends them beside the client's request, and both share their variables: so what a copy
-- looks like is decided with the route, and its location just reads it.

local expression = require "tidegate.expression"
local peers = require "ngx.balancer"
local store = require "tidegate.store"

local set_current_peer = peers.set_current_peer
local ngx = ngx

local _M = {}

-- To be run in the rewrite phase of a request to a route that is mirrored.
function _M.announce(mirror)
  local var = ngx.var
  var.tidegate_mirror_backend = mirror.backend
  var.tidegate_mirror_name = mirror.name
  var.tidegate_mirror_uri = expression.text(mirror.uri)
  var.tidegate_mirror_host = expression.text(mirror.host)
end

local function backend_of()
  local backend = store.backend(ngx.var.tidegate_mirror_backend)
  return backend and backend.count > 0 and backend or nil
end

-- To be run in the rewrite phase of a copy: there may be nobody to send it to.
function _M.check()
  if not backend_of() then
    return ngx.exit(204)
  end
end

-- To be run in the balancer phase of a copy.
function _M.balance()
  local backend = backend_of()
  if not backend then
    return ngx.exit(502)
  end
  local endpoint = backend:choose(nil)
  local ok, reason = set_current_peer(endpoint.address, endpoint.port)
  if not ok then
    ngx.log(ngx.ERR, "mirror ", endpoint.name, ": ", reason)
    return ngx.exit(502)
  end
end

return _M
