-- Session affinity by cookie: `<key>|<digest of the backend>`. In balanced mode the key is hashed onto the endpoints,
-- in persistent mode it is the digest of one endpoint.

local find, sub, format = string.find, string.sub, string.format
local random = math.random
local concat = table.concat
local ngx = ngx

local DRAWS = 20 -- how often another endpoint than a failed one is looked for

local _M = {}

-- The two halves of the client's cookie, or nil.
function _M.read(affinity)
  local text = ngx.var[affinity.variable]
  if not text then
    return nil
  end
  local bar = find(text, "|", 1, true)
  if not bar then
    return text, nil
  end
  return sub(text, 1, bar - 1), sub(text, bar + 1)
end

-- The first of these cookies of other routes that the client shows, and the halves of its text; or nil.
function _M.follow(cookies)
  for index = 1, #cookies do
    local key, owner = _M.read(cookies[index])
    if key and owner then
      return cookies[index], key, owner
    end
  end
  return nil
end

-- User agents that take `SameSite=None` for `Strict`.
local function mishandles_none(agent)
  if not agent then
    return false
  end
  for _, sign in ipairs({ "Chrome/4", "Chrome/5", "Chrome/6", "CPU iPhone OS 12", "iPad; CPU OS 12" }) do
    if find(agent, sign, 1, true) then
      return true
    end
  end
  return find(agent, "Intel Mac OS X 10_14", 1, true) ~= nil
    and find(agent, "Safari", 1, true) ~= nil
    and find(agent, "Chrome", 1, true) == nil
end

local function same_site(affinity)
  local value = affinity.same_site
  if not value then
    return nil
  end
  if value == "None" and affinity.conditional_same_site and mishandles_none(ngx.var.http_user_agent) then
    return nil
  end
  return value
end

local function send(affinity, value)
  local parts = { affinity.cookie .. "=" .. value }
  if affinity.expires then
    parts[#parts + 1] = "Expires=" .. ngx.cookie_time(ngx.time() + affinity.expires)
  end
  if affinity.max_age then
    parts[#parts + 1] = "Max-Age=" .. affinity.max_age
  end
  if affinity.domain then
    parts[#parts + 1] = "Domain=" .. affinity.domain
  end
  parts[#parts + 1] = "Path=" .. affinity.path
  if affinity.secure or ngx.var.https == "on" then
    parts[#parts + 1] = "Secure"
  end
  parts[#parts + 1] = "HttpOnly"
  local site = same_site(affinity)
  if site then
    parts[#parts + 1] = "SameSite=" .. site
  end
  ngx.header["Set-Cookie"] = concat(parts, "; ")
end

local function draw()
  return format("%.3f.%d.%d", ngx.now(), ngx.worker.pid(), random(0, 999999))
end

local function fresh_balanced(backend, failed)
  local key, endpoint
  for _ = 1, DRAWS do
    key = draw()
    endpoint = backend:by_key(key)
    if not failed or not failed[endpoint.name] then
      break
    end
  end
  return key, endpoint
end

local function fresh_persistent(backend, failed)
  local endpoint
  for _ = 1, DRAWS do
    endpoint = backend.endpoints[random(backend.count)]
    if not failed or not failed[endpoint.name] then
      break
    end
  end
  return backend.digest_of(endpoint), endpoint
end

-- An endpoint for a client without a usable cookie (or, after failures, instead of it), and the cookie that keeps it.
function _M.assign(affinity, backend, failed)
  local fresh = affinity.mode == "persistent" and fresh_persistent or fresh_balanced
  local key, endpoint = fresh(backend, failed)
  send(affinity, key .. "|" .. backend.digest)
  return endpoint
end

-- The endpoint that the client's cookie stands for, or nil.
function _M.recall(affinity, backend, key, owner)
  if not key or key == "" then
    return nil
  end
  if affinity.mode == "persistent" then
    return owner == backend.digest and backend:by_digest(key) or nil
  end
  return backend:by_key(key)
end

return _M
