-- The access phase of policies with address lists. With `satisfy any` a hook that merely returns would count as
-- granting, so this is the location's only one and each of its ways out is explicit.

local contexts = require "tidegate.context"
local networks = require "tidegate.networks"
local ngx = ngx

local _M = {}

-- true when the lists let the client in, false when they do not, nil when they do not say.
local function judged()
  local context = contexts.get()
  local access = context and context.route and context.route.access
  if not access then
    return false
  end
  local address = ngx.var.binary_remote_addr
  if access.deny and networks.contains(access.deny, address) then
    return false
  end
  if not access.allow then
    return nil
  end
  return networks.contains(access.allow, address)
end

function _M.check()
  local verdict = judged()
  if verdict == nil then
    return ngx.exit(ngx.DECLINED) -- whatever else guards the location decides
  end
  return ngx.exit(verdict and ngx.OK or 403)
end

return _M
