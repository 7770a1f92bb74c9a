-- The balancer phase: an endpoint for each try.

local affinity = require "tidegate.affinity"
local contexts = require "tidegate.context"
local ewma = require "tidegate.ewma"
local peers = require "ngx.balancer"

local set_current_peer, set_more_tries, set_timeouts = peers.set_current_peer, peers.set_more_tries, peers.set_timeouts
local ngx = ngx

local _M = {}

local defaults = { tries = 3, connect_timeout = 5, send_timeout = 60, read_timeout = 60 }

function _M.configure(given)
  for name, value in pairs(given) do
    defaults[name] = value
  end
end

local function apply_timeouts(route)
  if route.connect_timeout or route.send_timeout or route.read_timeout then
    set_timeouts(
      route.connect_timeout or defaults.connect_timeout,
      route.send_timeout or defaults.send_timeout,
      route.read_timeout or defaults.read_timeout
    )
  end
end

-- The upstream block stands for this many endpoints, so NGINX tries so often by itself.
local OWN_TRIES = 3

-- One more try at a time: NGINX counts a stale kept-alive connection as no try at all, and only its own bound
-- (proxy_next_upstream_tries) takes such tries back.
local function allow_another(context, tries)
  if tries == 0 then -- no limit: as often as there are endpoints
    tries = context.backend.count - OWN_TRIES
  end
  if context.tries <= tries then
    set_more_tries(1)
  end
end

local function tries_of(context)
  local route = context.route
  return route and route.tries or defaults.tries
end

local function first(context)
  context.tries = 1
  local tries = tries_of(context)
  if tries > OWN_TRIES or tries == 0 then
    allow_another(context, tries)
  end
  local endpoint = context.endpoint
  if endpoint then
    return endpoint
  end
  local sticky = context.affinity -- only now: what is refused before gives no cookie
  return sticky and affinity.assign(sticky, context.backend) or context.backend:choose(nil)
end

local function again(context)
  context.tries = context.tries + 1
  allow_another(context, tries_of(context))
  local failed = context.failed
  if not failed then
    failed = {}
    context.failed = failed
  end
  failed[context.endpoint.name] = true
  if context.backend.algorithm == "ewma" then
    ewma.failed(context.endpoint)
  end
  local sticky = context.affinity
  if not sticky then
    return context.backend:choose(failed)
  end
  if sticky.change_on_failure then
    return affinity.assign(sticky, context.backend, failed)
  end
  return context.endpoint
end

function _M.balance()
  local context = contexts.get()
  local backend = context and context.backend
  if not backend then
    ngx.log(ngx.ERR, "no backend was chosen for this request")
    return ngx.exit(500)
  end
  local endpoint = context.tries and again(context) or first(context)
  context.endpoint = endpoint
  local ok, reason = set_current_peer(endpoint.address, endpoint.port)
  if not ok then
    ngx.log(ngx.ERR, "endpoint ", endpoint.name, ": ", reason)
    return ngx.exit(502)
  end
  local route = context.route
  if route then
    apply_timeouts(route)
  end
end

return _M
