-- The access phase of policies with address lists or digest authentication. With `satisfy any` a hook that merely
-- returns would count as granting, so this is the location's only one and each of its ways out is explicit.

local contexts = require "tidegate.context"
local digest = require "tidegate.digest"
local networks = require "tidegate.networks"
local ngx = ngx

local _M = {}

-- true when the lists let the client in, false when they do not, nil when they do not say.
local function by_address(access)
  local address = ngx.var.binary_remote_addr
  if access.deny and networks.contains(access.deny, address) then
    return false
  end
  if not access.allow then
    return nil
  end
  return networks.contains(access.allow, address)
end

-- Which guards the location's policy has; `any`: one that grants is enough.
function _M.check(listed, login, any)
  local context = contexts.get()
  local route = context and context.route
  if not route or listed and not route.access or login and not route.digest_auth then
    return ngx.exit(403)
  end
  local verdict, status = nil, 403
  if listed then
    verdict = by_address(route.access)
  end
  if login and (any and not verdict or verdict ~= false and not any) then
    verdict, status = digest.passes(route.digest_auth), 401
  end
  if verdict == nil then
    return ngx.exit(ngx.DECLINED) -- whatever else guards the location decides
  end
  return ngx.exit(verdict and ngx.OK or status)
end

return _M
