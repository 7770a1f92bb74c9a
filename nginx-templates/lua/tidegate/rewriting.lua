-- The rewrite of a route: another URI, from what its pattern captured.

local backends = require "tidegate.backend"
local ending = require "tidegate.ending"
local redirects = require "tidegate.redirects"
local regex = require "tidegate.regex"

local find, gsub, sub = string.find, string.gsub, string.sub
local tonumber = tonumber
local ngx = ngx

local _M = {}

-- Text of a client for one line of the error log.
local function printable(text)
  return (gsub(text, "%c", "?"))
end

-- Replaces the URI; a target with a scheme is a redirect. Returns true when the request has ended.
function _M.rewrite(context, route, uri)
  local rule = route.rewrite
  local captures = regex.captures(rule.pattern, uri)
  if route.rewrite_log then
    ngx.log(ngx.NOTICE, '"', rule.pattern, captures and '" matches "' or '" does not match "', printable(uri), '"')
  end
  if not captures then
    return false
  end
  local absolute = find(rule.target, "^%a[%w+.-]*://") or find(rule.target, "^%$scheme://")
  -- one pass: what was captured is the client's text, and a `$` in it begins nothing
  local function capture(name)
    local digit = tonumber(sub(name, 1, 1))
    local text = captures[digit or name] or not digit and backends.variable(name) or ""
    if absolute then
      text = ngx.escape_uri(text, 0)
    end
    return digit and text .. sub(name, 2) or text
  end
  local target = gsub(rule.target, "%$([%w_]+)", capture)
  if absolute then
    local args = ngx.var.args
    redirects.send(context, route, 302, args and target .. "?" .. args or target)
    return true
  end
  if route.rewrite_log then
    ngx.log(ngx.NOTICE, 'rewritten data: "', printable(target), '", args: "', ngx.var.args or "", '"')
  end
  if target == "" then -- as where NGINX itself rewrites; set_uri would end this with an error of Lua
    ngx.log(ngx.ERR, "the rewritten URI has a zero length")
    ending.as(context, route, 500)
    return true
  end
  ngx.req.set_uri(target, false, true)
  if rule.forwarded_prefix then
    ngx.req.set_header("X-Forwarded-Prefix", (gsub(rule.forwarded_prefix, "%$([%w_]+)", capture)))
  end
  return false
end

return _M
