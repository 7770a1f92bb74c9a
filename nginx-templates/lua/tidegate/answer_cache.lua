-- Answers of authentication services that may be used again. The key begins with a scope that no two routes share, so
-- an answer never counts for another host, path or Ingress. When memory is short the oldest go.
--
-- How long one counts is decided as NGINX decides it for proxy_cache: what the service says, else the route's settings.

local cjson = require "cjson.safe"
local expression = require "tidegate.expression"

local concat = table.concat
local find, gmatch, gsub, lower = string.find, string.gmatch, string.gsub, string.lower
local match, sub = string.match, string.sub
local sha1 = ngx.sha1_bin
local tonumber = tonumber
local ngx = ngx
local answers = ngx.shared.tidegate_answers

local LONGEST = 365 * 86400 -- seconds

local _M = {}

function _M.compile(external)
  local seconds = {}
  for _, pair in ipairs(external.cache_valid or {}) do
    seconds[pair[1]] = pair[2]
  end
  external.seconds = seconds
end

-- What the request asks for; variables are kept apart, so that the end of one and the beginning of the next cannot
-- change places.
function _M.key(external)
  return sha1(external.cache_scope .. "\0" .. expression.text(external.cache_key, "\0"))
end

-- The key for a request whose headers the answer depends on.
local function variant(key, vary)
  local parts = { key }
  for name in gmatch(lower(vary), "[^,%s]+") do
    parts[#parts + 1] = ngx.var["http_" .. gsub(name, "-", "_")] or ""
  end
  return sha1(concat(parts, "\0"))
end

local function read(key)
  local text = answers:get(key)
  return text and cjson.decode(text)
end

-- {status, values, challenge} or nil.
function _M.get(key)
  local known = read(key)
  if known and known.vary then
    return read(variant(key, known.vary))
  end
  return known
end

local function by_cache_control(text)
  if find(text, "no-cache", 1, true) or find(text, "no-store", 1, true) or find(text, "private", 1, true) then
    return 0
  end
  return tonumber(match(text, "s%-maxage=(%d+)") or match(text, "max%-age=(%d+)"))
end

-- For how long the service says that its answer counts, or nil.
local function said()
  local var = ngx.var
  local accel = var.upstream_http_x_accel_expires
  if accel then
    if sub(accel, 1, 1) == "@" then
      return (tonumber(sub(accel, 2)) or 0) - ngx.time()
    end
    return tonumber(accel) or 0
  end
  local control = var.upstream_http_cache_control
  local seconds = control and by_cache_control(lower(control))
  if seconds then
    return seconds
  end
  local expires = var.upstream_http_expires
  if expires then
    return (ngx.parse_http_time(expires) or 0) - ngx.time()
  end
  return nil
end

-- Keeps the answer that has come, if it may be kept. To be called in the question's header filter.
function _M.put(key, external, status, values)
  local seconds = said() or external.seconds[tostring(status)] or external.seconds.any
  if not seconds or seconds <= 0 then
    return
  end
  if seconds > LONGEST then
    seconds = LONGEST
  end
  local vary = ngx.var.upstream_http_vary
  if vary then
    if find(vary, "*", 1, true) then
      return
    end
    answers:set(key, cjson.encode({ vary = vary }), seconds)
    key = variant(key, vary)
  end
  local challenge = ngx.var.upstream_http_www_authenticate
  answers:set(key, cjson.encode({ status = status, values = values, challenge = challenge }), seconds)
end

return _M
