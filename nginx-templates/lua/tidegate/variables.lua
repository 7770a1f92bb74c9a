-- What a route tells NGINX's own configuration: the variables of its policy, and those of log lines.

local backends = require "tidegate.backend"
local calls = require "tidegate.calls"
local expression = require "tidegate.expression"
local external_auth = require "tidegate.external_auth"
local mirror = require "tidegate.mirror"
local networks = require "tidegate.networks"
local peers = require "tidegate.peers"

local ngx = ngx
local byte, match = string.byte, string.match
local variable = calls.variable
local STAR = byte("*")

local _M = {}

local users_folder, limit_by

-- `by`: what limits take for a client, nil for its address.
function _M.configure(folder, by)
  users_folder, limit_by = folder, by
end

local function limit_key(route)
  local address = peers.address()
  if route.limit_exempt and networks.contains(route.limit_exempt, address) then
    return ""
  end
  if not limit_by then
    return route.limit_scope .. address
  end
  local client = backends.key_of(limit_by)
  if client == "" then
    return "" -- NGINX does not limit
  end
  return route.limit_scope .. (#client > 16 and ngx.md5_bin(client) or client)
end

-- What the location of a policy needs to know of the route.
function _M.of_policy(context, route)
  local var = ngx.var
  if route.limit_scope then
    var.tidegate_limit_key = limit_key(route)
  end
  if route.auth then
    var.tidegate_realm = route.auth.realm
    var.tidegate_users = users_folder .. route.auth.users
  end
  if route.external then
    external_auth.announce(context, route.external)
  end
  if route.mirror then
    mirror.announce(route.mirror)
  end
  if route.upstream_host then
    var.tidegate_upstream_host = expression.text(route.upstream_host)
  end
end

-- What log lines name: the upstream, with `all` the whole route.
local function of_log(route, all)
  local var, labels = ngx.var, route.labels
  var.proxy_upstream_name = route.log_name or "upstream-default-backend"
  if all then
    var.namespace, var.ingress_name = labels.namespace or "", labels.ingress or ""
    var.service_name, var.service_port = labels.service or "", labels.port or ""
    var.location_path = labels.path or ""
  end
end
_M.of_log = of_log

-- What snippets may name besides.
function _M.of_snippet(context, route)
  of_log(route, true)
  local host = context.host
  if host and byte(host.name) == STAR then
    ngx.var.subdomain = match(variable("host"), "^[^.]*")
  end
end

return _M
