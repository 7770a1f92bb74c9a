-- What a route adds to its answers, whoever made them: to be run in the header filter of the route's own locations.

local contexts = require "tidegate.context"
local cors = require "tidegate.cors"
local external_auth = require "tidegate.external_auth"

local lower = string.lower
local ngx = ngx
local HSTS = "strict-transport-security"

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
      local name = headers[index][1]
      ngx.header[name] = headers[index][2]
      if #name == #HSTS and lower(name) == HSTS then
        ngx.var.tidegate_hsts_told = "1" -- takes the place of the one for all
      end
    end
  end
  if context.asking then
    external_auth.add_cookies(route, context.asking)
  end
end

return _M
