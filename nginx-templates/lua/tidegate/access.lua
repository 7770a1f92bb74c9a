-- The access phase of policies with address lists. With `satisfy any` a hook that merely returns would count as
-- granting, so this is the location's only one and each of its ways out is explicit.

local contexts = require "tidegate.context"
local networks = require "tidegate.networks"
local ngx = ngx

local _M = {}

local function granted()
  local context = contexts.get()
  local access = context and context.route and context.route.access
  if not access then
    return false
  end
  local address = ngx.var.binary_remote_addr
  if access.deny and networks.contains(access.deny, address) then
    return false
  end
  return not access.allow or networks.contains(access.allow, address)
end

function _M.check()
  if granted() then
    return ngx.exit(ngx.OK)
  end
  return ngx.exit(403)
end

return _M
