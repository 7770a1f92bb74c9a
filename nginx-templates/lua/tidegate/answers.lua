-- What a route adds to its answers, whoever made them: to be run in the header filter of the route's own locations.

local contexts = require "tidegate.context"
local external_auth = require "tidegate.external_auth"

local _M = {}

function _M.add()
  local context = contexts.get()
  local route = context and context.route
  if not route then
    return
  end
  if context.asking then
    external_auth.add_cookies(route, context.asking)
  end
end

return _M
