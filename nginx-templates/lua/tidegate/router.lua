-- The rewrite phase: from a request to a host, a route, a backend, and the location with the route's policy.
--
-- The order of the steps is what users of the retired controller can observe (reference: the order inside a request):
-- app-root, denial, redirects, rewrite, redirect to https, missing endpoints, body limit; the policy's own location
-- then limits, checks and proxies.

local affinity = require "tidegate.affinity"
local body = require "tidegate.body"
local calls = require "tidegate.calls"
local canary = require "tidegate.canary"
local clients = require "tidegate.clients"
local contexts = require "tidegate.context"
local cors = require "tidegate.cors"
local ending = require "tidegate.ending"
local redirects = require "tidegate.redirects"
local rewriting = require "tidegate.rewriting"
local store = require "tidegate.store"
local tracing = require "tidegate.tracing"
local variables = require "tidegate.variables"

local sub, byte, gsub, match = string.sub, string.byte, string.gsub, string.match
local ngx = ngx
local variable = calls.variable
local leave, leave_bare = ending.as, ending.bare
local body_checked, body_location, set_log_variables = body.checked, body.location, variables.of_log
local STAR, TILDE = byte("*"), byte("~")
local STATUS_PAGE = "/nginx_status"

local _M = {}

local settings = {
  log_variables = false,
  log_default_backend = false,
  default_location = false,
  health_path = "/healthz",
}

function _M.configure(given)
  for name, value in pairs(given) do
    settings[name] = value
  end
  body.configure(given.body_limit, given.outer_body_limit)
  variables.configure(given.users_folder, given.limit_by)
end

local function find_host(name)
  return store.host(name) or store.wildcard(name) or store.by_pattern(name) or store.host("_")
end

local function usable(id)
  local backend = id and store.backend(id)
  if backend and backend.count > 0 then
    return backend
  end
  return nil
end

local function default_backend()
  return usable(store.globals().default_backend) or store.backend("_default")
end

-- What an error or fallback backend is told about the request.
local function describe_error(route, code)
  local set, var, labels = ngx.req.set_header, ngx.var, route.labels
  set("X-Code", code)
  set("X-Format", var.http_accept)
  set("X-Namespace", labels.namespace or "")
  set("X-Ingress-Name", labels.ingress or "")
  set("X-Service-Name", labels.service or "")
  set("X-Service-Port", labels.port or "")
  set("X-Request-ID", var.req_id)
end

-- Decides between the route's backend and its canaries, and keeps a client where its cookie says. Returns the backend.
local function choose_backend(context, route, backend)
  local sticky, canaries = route.affinity, route.canaries
  local key, owner, followed
  if sticky then
    key, owner = affinity.read(sticky)
  elseif backend.follows then
    followed, key, owner = affinity.follow(backend.follows)
  end
  local taker, other
  if canaries and not (owner and owner == backend.digest) then
    if owner then
      taker, other = canary.bound_to(owner, canaries, usable)
    end
    if not taker then
      taker, other = canary.choose(canaries, usable)
    end
  end
  if taker then
    backend, context.canary = other, taker
    if settings.log_variables then
      ngx.var.proxy_alternative_upstream_name = taker.log_name
    end
  end
  if sticky and not (taker and not taker.sticky) then
    context.affinity = sticky
    context.endpoint = affinity.recall(sticky, backend, key, owner) -- else the balancer assigns one, with its cookie
  elseif followed and owner == backend.digest then
    context.endpoint = affinity.recall(followed, backend, key, owner)
  end
  return backend
end

local function proxy(context, route)
  local location = body_location(route)
  if location == false then
    return leave(context, route, 413)
  end
  if location and not context.inside then
    return ngx.exec(location)
  end
end

-- What logs call the backend that stands in for another one; nil for the global default backend.
local function log_stand_in(backend)
  if settings.log_variables then
    local name = backend and "custom-default-backend-" .. gsub(match(backend.id, "^[^:]*"), "/", "-")
    ngx.var.proxy_upstream_name = name or "upstream-default-backend"
  end
end

-- A backend without endpoints: the route's fallback, else 503.
local function without_endpoints(context, route)
  local fallback = usable(route.fallback)
  if not fallback then
    return leave(context, route, 503)
  end
  context.backend = fallback
  log_stand_in(fallback)
  describe_error(route, "503")
  return proxy(context, route)
end

local function nobody_home(context)
  if settings.log_variables then
    ngx.var.proxy_upstream_name = "upstream-default-backend"
    ngx.var.tidegate_quiet = settings.log_default_backend and "" or "1"
  end
  if settings.default_location and not context.inside then
    return ngx.exec("@tidegate_default")
  end
  local globals = store.globals()
  local backend = usable(globals.default_backend)
  if not backend then
    return ngx.exit(404)
  end
  context.backend = backend
  context.route = globals.default_route
  return proxy(context, context.route)
end

-- Built-in pages of the catch-all host, which are neither logged nor counted. Returns true when the request has ended.
local function built_in(uri)
  local healthy = sub(uri, 1, #settings.health_path) == settings.health_path
  if not healthy and sub(uri, 1, #STATUS_PAGE) ~= STATUS_PAGE then
    return false
  end
  contexts.release()
  if not healthy then
    ngx.exec("@tidegate_status")
    return true
  end
  if settings.log_variables then
    ngx.var.tidegate_quiet = "1"
  end
  ngx.status = 200
  ngx.exit(200)
  return true
end

-- Hands the request to the location of its policy, whose snippet comes first.
local function run_snippet(context, route)
  variables.of_snippet(context, route)
  variables.of_policy(context, route)
  return ngx.exec(route.location)
end

-- Steps that come after a snippet. Returns true when the request has ended.
local function redirect_or_rewrite(context, route, uri)
  if route.redirect then
    redirects.follow(context, route)
    return true
  end
  if route.rewrite and rewriting.rewrite(context, route, uri) then
    return true
  end
  if route.tls_redirect and redirects.to_https(context, route) then
    return true
  end
  return false
end

-- Steps of a route that is more than a plain proxy. Returns true when the request has ended.
local function special(context, route, uri)
  if route.trace then
    tracing.start(context, route)
  end
  if route.status then
    leave_bare(context, route.status)
    return true
  end
  if route.refused then
    nobody_home(context)
    return true
  end
  if route.cors and cors.answers(route.cors) then
    context.exit = 204
    if route.quiet then
      ngx.var.tidegate_quiet = "1"
    end
    ngx.exec("@tidegate_preflight") -- before snippets, redirects and guards
    return true
  end
  if route.snippet then
    run_snippet(context, route)
    return true
  end
  if redirect_or_rewrite(context, route, uri) then
    return true
  end
  variables.of_policy(context, route)
  return false
end

local function proxy_to_backend(context, route)
  local backend
  if route.backend then
    backend = usable(route.backend)
    if backend and (route.canaries or route.affinity or backend.follows) then
      backend = choose_backend(context, route, backend)
    end
  else
    backend = default_backend()
  end
  if not backend then
    return without_endpoints(context, route)
  end
  context.backend = backend
  return proxy(context, route)
end

-- The record whose routes take this request; the context gets the one that was asked for.
local function host_of(context, name)
  local first = byte(name) -- `*.` and `~` begin names of records, not of hosts
  local host = find_host((first == STAR or first == TILDE) and "_" or name)
  context.host = host
  if host and host.alias_of then
    return store.host(host.alias_of)
  end
  return host
end

local function begin()
  store.sync()
  return contexts.new()
end

-- Whether NGINX can go on at once: nothing to do for the route but to proxy, and here.
local function simple(context, route)
  local rule = route.tls_redirect
  return route.plain and route.backend and not route.location
    and body_checked(route)
    and not (rule and redirects.wants_https(context, rule))
end

-- To be run by `set_by_lua` in the outer location: most requests need no more, and are spared the coroutine that
-- `rewrite_by_lua` makes. Returns "1" when `rewrite` has to be run.
function _M.decide()
  local context = begin()
  local host = host_of(context, variable("host"))
  local route = host and host.open and (host.only or host:match(variable("uri")))
  local backend = route and simple(context, route) and usable(route.backend)
  if not backend or backend.follows then
    context.begun, context.matching = true, host
    return "1"
  end
  context.route, context.backend = route, backend
  if settings.log_variables then
    set_log_variables(route, settings.log_variables == "all")
  end
  return ""
end

-- Answers that come before any route: a status, redirects of the whole host, pages of the catch-all host. Returns true
-- when the request has ended.
local function ends_early(context, host, name, uri, server)
  if settings.log_variables then
    ngx.var.proxy_upstream_name = "-" -- as no backend is asked
  end
  if host.strict then
    local status = clients.refusal(host, name, server)
    if status then
      leave_bare(context, status)
      return true
    end
  end
  if host.redirect_to then
    redirects.to_host(context, host)
    return true
  end
  if host.app_root and uri == "/" then
    redirects.to_app_root(context, host)
    return true
  end
  return host.name == "_" and built_in(uri)
end

-- To be run in the rewrite phase of the outer location. `server` is the digest of the profile of the native server that
-- this is, nil for the catch-all.
function _M.rewrite(server)
  local context, name = contexts.get(), variable("host")
  local host
  if context and context.begun then
    host = context.matching
    context.begun, context.matching = nil, nil
  else
    context = begin()
    host = host_of(context, name)
  end
  local uri = variable("uri")
  if not host then
    if built_in(uri) then
      return
    end
    return nobody_home(context)
  end
  if not host.open and ends_early(context, host, name, uri, server) then
    return
  end
  local route, reason = host:match(uri)
  if reason then
    ngx.log(ngx.ERR, reason)
    return ngx.exit(500)
  end
  if not route then
    return nobody_home(context)
  end
  if route.moved then
    return redirects.to_slash(context, route.moved, uri)
  end
  context.route = route
  if settings.log_variables then
    set_log_variables(route, settings.log_variables == "all")
  end

  local steps = route.plain and redirect_or_rewrite or special -- of a plain route just the redirect to https
  if steps(context, route, uri) then
    return
  end
  return proxy_to_backend(context, route)
end

-- To be run in the rewrite phase of a location with a snippet, whose own lines have run by then: what they left to do.
function _M.after_snippet()
  local context = contexts.get()
  if context.exit then
    return _M.resume()
  end
  context.inside = true
  local route = context.route
  if not route then
    return nobody_home(context)
  end
  if redirect_or_rewrite(context, route, variable("uri")) then
    return
  end
  return proxy_to_backend(context, route)
end

-- To be run in the rewrite phase of locations that end what the router decided.
function _M.resume()
  local context = contexts.get()
  local status = context and context.exit
  if status then
    context.exit = nil
    return ngx.exit(status)
  end
end

-- To be run in the rewrite phase of the error locations: the error backend takes over the request.
function _M.intercept(code)
  local context = contexts.get() or contexts.new()
  local route = context.route or { labels = {} }
  local own = usable(route.error_backend)
  local backend = own or usable(store.globals().default_backend)
  log_stand_in(own)
  if not backend then
    return ngx.exit(404)
  end
  describe_error(route, code)
  ngx.req.set_header("X-Original-URI", ngx.var.request_uri) -- what is asked for is / from here on
  if route.auth or route.digest_auth then
    ngx.req.clear_header("Authorization") -- a login here is not for backends
  end
  context.backend, context.endpoint, context.affinity, context.tries = backend, nil, nil, nil
  ngx.req.set_uri("/", false)
end

return _M
