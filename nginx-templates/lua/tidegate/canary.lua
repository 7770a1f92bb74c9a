-- Whether a request goes to the canary backend; the first rule that decides wins: header, cookie, weight.

local regex = require "tidegate.regex"
local random = math.random
local ngx = ngx

local _M = {}

-- true or false when the header decides, nil when the next rule shall.
local function by_header(canary)
  local value = ngx.var[canary.header_variable]
  if not value then
    return nil
  end
  if canary.header_value then
    return value == canary.header_value or nil
  end
  if canary.header_pattern then
    local matched = regex.matches_case(canary.header_pattern, value)
    if matched == nil then -- it does not compile or runs past its limit: stay on the safe side
      return false
    end
    return matched or nil
  end
  if value == "always" then
    return true
  end
  if value == "never" then
    return false
  end
  return nil
end

local function by_cookie(canary)
  local value = ngx.var[canary.cookie_variable]
  if value == "always" then
    return true
  end
  if value == "never" then
    return false
  end
  return nil
end

function _M.takes(canary)
  local decision
  if canary.header_variable then
    decision = by_header(canary)
  end
  if decision == nil and canary.cookie_variable then
    decision = by_cookie(canary)
  end
  if decision == nil then
    decision = random(canary.total) <= canary.weight
  end
  return decision
end

return _M
