-- The canary backend that takes a request, if any. In each the first rule that decides wins: header, cookie, weight.

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

-- Whether this canary wants the request: true or false, nil when neither header nor cookie says.
local function wants(canary)
  local decision
  if canary.header_variable then
    decision = by_header(canary)
  end
  if decision == nil and canary.cookie_variable then
    decision = by_cookie(canary)
  end
  return decision
end

-- The canaries of a request that are left to chance, and how many there are. Used up before anything yields.
local undecided = {}

-- The canary that takes the request and its backend, or nil. `canaries`: the oldest first; `find`: gives the backend of
-- that name if it has endpoints. What a header or cookie says of any of them comes before the weights.
function _M.choose(canaries, find)
  local count = 0
  for index = 1, #canaries do
    local canary = canaries[index]
    local backend = find(canary.backend)
    if backend then
      local decision = wants(canary)
      if decision then
        return canary, backend
      elseif decision == nil then
        count = count + 1
        undecided[count] = canary
      end
    end
  end
  local drawn = count > 0 and random()
  for index = 1, count do
    local canary = undecided[index]
    drawn = drawn - canary.share
    if drawn < 0 then
      return canary, find(canary.backend)
    end
  end
  return nil
end

-- The canary to which a session cookie binds its client, and its backend, or nil.
function _M.bound_to(owner, canaries, find)
  for index = 1, #canaries do
    local canary = canaries[index]
    if canary.sticky then
      local backend = find(canary.backend)
      if backend and backend.digest == owner then
        return canary, backend
      end
    end
  end
  return nil
end

return _M
