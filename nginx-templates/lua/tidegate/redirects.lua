-- Redirects: of a whole host, of a route, to https, to the path with its slash.

local calls = require "tidegate.calls"
local ending = require "tidegate.ending"
local store = require "tidegate.store"

local byte, match, sub = string.byte, string.match, string.sub
local ngx = ngx
local variable = calls.variable
local SLASH = byte("/")

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
  local port = match(var.http_host or "", ":%d+$") or "" -- the rest of the header may be anything
  ngx.header["Location"] = var.scheme .. "://" .. var.host .. port .. host.app_root
  return ending.bare(context, 302)
end

function _M.to_slash(route, uri)
  local var = ngx.var
  local location = ngx.escape_uri(uri .. "/", 0)
  if not route.relative_redirects then
    local port = route.port_in_redirects and ":" .. var.server_port or ""
    location = var.scheme .. "://" .. var.host .. port .. location
  end
  if var.args then
    location = location .. "?" .. var.args
  end
  ngx.header["Location"] = location
  return ngx.exit(301)
end

function _M.follow(context, route)
  local target = route.redirect
  local location = target.location
  if byte(location) == SLASH and not target.relative then
    local var = ngx.var
    location = var.scheme .. "://" .. var.host .. location
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

-- Whether a plain request to a route with such a rule is sent to https.
function _M.wants_https(context, rule)
  return (rule.force or has_tls(context.host)) and variable("pass_access_scheme") ~= "https"
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
