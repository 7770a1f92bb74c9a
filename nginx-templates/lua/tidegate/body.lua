-- How large the body of a request may be, and where NGINX looks.

local calls = require "tidegate.calls"

local tonumber = tonumber
local variable = calls.variable

local _M = {}

local settings = { body_limit = 0, outer_body_limit = 0 }

-- `body_limit` counts for routes without a limit of their own, `outer_body_limit` is what NGINX checks before all else.
function _M.configure(body_limit, outer_body_limit)
  settings.body_limit, settings.outer_body_limit = body_limit, outer_body_limit
end

-- Whether NGINX has checked, and goes on counting, all that a route wants.
local function checked(route)
  return (route.body_limit or settings.body_limit) == settings.outer_body_limit
end
_M.checked = checked

-- Whether a request without Content-Length may have a body. HTTP/2 and HTTP/3 do not say before it comes.
local function may_have_body()
  local encoding = variable("http_transfer_encoding")
  if encoding then
    return true
  end
  return variable("http2") ~= "" or variable("server_protocol") == "HTTP/3.0"
end

-- The location in which the body is read, or nil for the outer one; false when the body is too large.
function _M.location(route)
  local location = route.location
  if not location and checked(route) then
    return nil
  end
  local limit = route.body_limit or settings.body_limit
  if limit > 0 then
    local length = variable("content_length")
    if length then
      if tonumber(length) > limit then
        return false
      end
    elseif not location and may_have_body() then
      return "@tidegate_default" -- where NGINX counts
    end
  end
  return location
end

return _M
