-- Cross-origin requests: which origins a route admits, and what its answers tell browsers.

local find, lower, match = string.find, string.lower, string.match
local ngx = ngx

local _M = {}

-- Makes the list of origins one that is looked up: `*` for all, whole origins, and `scheme://*.domain` for one label.
function _M.compile(cors)
  local known = {}
  for _, origin in ipairs(cors.origins) do
    if origin == "*" then
      cors.all = true
    end
    known[lower(origin)] = true
  end
  cors.known = known
  cors.max_age = tostring(cors.max_age)
end

-- What Access-Control-Allow-Origin says to this request, or nil where its origin is not admitted.
local function admitted(cors)
  if cors.all then
    return "*"
  end
  local origin = ngx.var.http_origin
  if not origin then
    return nil
  end
  local lowered = lower(origin)
  if cors.known[lowered] and not find(lowered, "*", 1, true) then
    return origin
  end
  local scheme, domain = match(lowered, "^([^:/]+://)[%w-]+(%..+)$")
  if scheme and cors.known[scheme .. "*" .. domain] then
    return origin
  end
  return nil
end

-- To be run in the header filter: its headers take the place of the backend's.
function _M.answer(cors)
  local origin = admitted(cors)
  if not origin then
    return
  end
  local header = ngx.header
  header["Access-Control-Allow-Origin"] = origin
  if cors.credentials then
    header["Access-Control-Allow-Credentials"] = "true"
  end
  if cors.methods then
    header["Access-Control-Allow-Methods"] = cors.methods
  end
  if cors.headers then
    header["Access-Control-Allow-Headers"] = cors.headers
  end
  if cors.expose then
    header["Access-Control-Expose-Headers"] = cors.expose
  end
  header["Access-Control-Max-Age"] = cors.max_age
end

-- Whether this request is answered here: any OPTIONS of an origin that is admitted.
function _M.answers(cors)
  return ngx.req.get_method() == "OPTIONS" and admitted(cors) ~= nil
end

return _M
