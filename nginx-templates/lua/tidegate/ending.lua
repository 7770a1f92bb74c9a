-- The ends of requests that the router answers itself.

local ngx = ngx

local _M = {}

-- Ends the request in a location that has neither error pages nor headers of its own.
function _M.bare(context, status)
  context.exit = status
  return ngx.exec("@tidegate_bare")
end

-- Ends the request with a status of the route: where its policy replaces statuses or adds headers, in the policy's
-- location.
function _M.as(context, route, status)
  if route.resumes and not context.inside then
    context.exit = status
    return ngx.exec(route.location)
  end
  return ngx.exit(status)
end

return _M
