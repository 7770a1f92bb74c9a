-- What a route adds to its answers, whoever made them: to be run in the header filter of the route's own locations.

local contexts = require "tidegate.context"
local cors = require "tidegate.cors"
local external_auth = require "tidegate.external_auth"

local ngx = ngx

local _M = {}

function _M.add()
  local context = contexts.get()
  local route = context and context.route
  if not route then
    return
  end
  if route.cors then
    cors.answer(route.cors)
  end
  local headers = route.headers
  if headers then
    for index = 1, #headers do
      ngx.header[headers[index][1]] = headers[index][2]
    end
  end
  if context.asking then
    external_auth.add_cookies(route, context.asking)
  end
end

return _M
