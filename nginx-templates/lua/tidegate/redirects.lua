-- Redirects: of a whole host, of a route, to https, to the path with its slash.

local calls = require "tidegate.calls"
local ending = require "tidegate.ending"
local store = require "tidegate.store"

local byte, match, sub = string.byte, string.match, string.sub
local ngx = ngx
local variable = calls.variable
local SLASH = byte("/")
local USUAL_PORTS = { http = "80", https = "443" }

local _M = {}

local function without_port(name)
  if byte(name) == 91 then -- [
    return match(name, "^%[.-%]") or name
  end
  return match(name, "^([^:]*)")
end

local function without_last_slash(uri)
  local length = #uri
  if byte(uri, length) == SLASH then
    return sub(uri, 1, length - 1)
  end
  return uri
end

-- Ends the request with a redirect of its route.
function _M.send(context, route, status, location)
  ngx.header["Location"] = location
  return ending.as(context, route, status)
end

function _M.to_host(context, host)
  local var = ngx.var
  ngx.header["Location"] = var.pass_access_scheme .. "://" .. host.redirect_to .. ":" .. var.pass_server_port
    .. without_last_slash(var.request_uri)
  return ending.bare(context, host.redirect_status)
end

function _M.to_app_root(context, host)
  local var = ngx.var
  local asked = var.http_host or var.host
  local port = match(asked, ":%d+$") or "" -- the rest of the header may be anything
  ngx.header["Location"] = var.scheme .. "://" .. without_port(asked) .. port .. host.app_root
  return ending.bare(context, 302)
end

-- A path with the scheme, host and port of the request, as NGINX writes its own redirects: the port where it is asked
-- for and not that of the scheme anyway.
local function absolute(route, path)
  local var = ngx.var
  local scheme, port = var.scheme, ""
  local own = var.server_port ~= "" and var.server_port or var.proxy_protocol_server_port -- HTTP/2 on its own socket
  if route.port_in_redirects and own ~= USUAL_PORTS[scheme] then
    port = ":" .. own
  end
  return scheme .. "://" .. var.host .. port .. path
end

-- NGINX's answer where only the path with the slash is declared: before anything that the route asks for.
function _M.to_slash(context, route, uri)
  local location, args = ngx.escape_uri(uri .. "/", 0), ngx.var.args
  if not route.relative_redirects then
    location = absolute(route, location)
  end
  location = args and location .. "?" .. args or location
  if not route.snippet then
    context.route = route
    return _M.send(context, route, 301, location)
  end
  ngx.header["Location"] = location
  return ngx.exit(301)
end

function _M.follow(context, route)
  local target = route.redirect
  local location = target.location
  if byte(location) == SLASH and not target.relative then
    location = absolute(route, location)
  end
  return _M.send(context, route, target.status, location)
end

-- Whether a host has TLS of its own or from a wildcard; the latter is remembered until some host changes.
local function has_tls(host)
  if host.tls then
    return true
  end
  if host.seen_changes ~= store.host_changes then
    local wildcard = store.wildcard(host.name)
    host.wildcard_tls = wildcard and wildcard.tls or false
    host.seen_changes = store.host_changes
  end
  return host.wildcard_tls
end

-- Whether a plain request to a route with such a rule is sent to https: a forwarded scheme that is neither (`wss`,
-- `https,http`) is not plain.
function _M.wants_https(context, rule)
  return (rule.force or has_tls(context.host)) and variable("pass_access_scheme") == "http"
end

-- true when the request is sent to https.
function _M.to_https(context, route)
  local rule = route.tls_redirect
  if not _M.wants_https(context, rule) then
    return false
  end
  local var = ngx.var
  local uri = var.request_uri
  if not rule.keep_slash then
    uri = without_last_slash(uri)
  end
  local location = "https://" .. without_port(var.best_http_host or var.host)
  if rule.port then
    location = location .. ":" .. rule.port
  end
  _M.send(context, route, rule.status or 308, location .. uri)
  return true
end

return _M
