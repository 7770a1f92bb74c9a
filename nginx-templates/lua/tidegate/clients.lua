-- Certificates of clients. NGINX verifies them, in a server of its own for each way to do so; here is what follows from
-- it, which is data: whom a host lets in, and what those are told who are refused.

local calls = require "tidegate.calls"
local contexts = require "tidegate.context"
local regex = require "tidegate.regex"
local store = require "tidegate.store"

local byte, lower, gsub = string.byte, string.lower, string.gsub
local ngx = ngx
local variable = calls.variable
local SLASH, AT = byte("/"), byte("@")

local _M = {}

local function known(name)
  return store.host(name) or store.wildcard(name)
end

-- Whether the handshake was for another host that is known here: what it verified says nothing about this one.
local function misdirected(name)
  local asked = variable("ssl_server_name")
  if not asked or asked == "" then
    return false
  end
  asked = gsub(lower(asked), "%.$", "")
  return asked ~= name and known(asked) and true or false
end

-- Whether the subject of a certificate fits that some authority has signed: anybody can write any name into his own.
local function matches(pattern)
  local verdict = variable("ssl_client_verify")
  local subject = verdict == "SUCCESS" and variable("ssl_client_s_dn") or ""
  return regex.matches_case(pattern, subject) == true
end

-- The status with which a request for a host ends that does not let everybody in, or nil. `server` is the digest of
-- the profile of the server that the request is in.
function _M.refusal(host, name, server)
  local rules = host.client
  if rules and rules.match and not matches(rules.match) then
    return 403
  end
  if host.closed then
    return host.closed
  end
  if host.guarded then
    if host.profile ~= server then -- such as a connection of before, to a worker that knows nothing of it yet
      return 421
    end
    if variable("https") == "on" and misdirected(name) then
      return 421
    end
  end
  if rules and rules.forward then
    ngx.var.tidegate_client_certificate = variable("ssl_client_escaped_cert")
  end
  return nil
end

-- To be run in the rewrite phase of the locations in which a request goes on whose certificate NGINX does not accept
-- (495) or misses (496).
function _M.refuse(code)
  store.sync()
  local context = contexts.new()
  local name = variable("host")
  local host = known(name)
  context.host = host or nil
  if host and host.alias_of then
    host = store.host(host.alias_of)
  end
  if misdirected(name) then
    return ngx.exit(421)
  end
  if host and host.closed then
    return ngx.exit(host.closed)
  end
  local page = host and host.client and host.client.error_page
  if not page then
    return ngx.exit(code)
  end
  if byte(page) == SLASH or byte(page) == AT then
    ngx.req.set_method(ngx.HTTP_GET)
    return ngx.exec(page)
  end
  ngx.header["Location"] = page
  return ngx.exit(302)
end

return _M
