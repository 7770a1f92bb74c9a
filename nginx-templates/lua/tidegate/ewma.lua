-- Response times by endpoint, of which old ones count less and less. They outlive changes of the endpoints.

local exp, max, min = math.exp, math.max, math.min
local gmatch = string.gmatch
local tonumber = tonumber
local ngx = ngx

local DECAY = 10 -- seconds in which a response time loses most of its weight
local UNREACHABLE = 1 -- what an endpoint without a connection counts as: seconds, which it lives down within a minute
local KEPT = 20000

local _M = {}

local times, count = {}, 0 -- endpoint name -> {average, when}

local function remember(endpoint, seconds, now)
  count = count + 1
  if count > KEPT then
    times, count = {}, 1
  end
  times[endpoint.name] = { seconds, now }
end

-- What is left of a weight. NGINX goes by the time of day: where that is set back, no time has gone by.
local function decayed(since, now)
  return exp(min(0, since - now) / DECAY)
end

-- The decayed response time, or nil where nothing is known.
function _M.score(endpoint, now)
  local entry = times[endpoint.name]
  if not entry then
    return nil
  end
  return entry[1] * decayed(entry[2], now)
end

-- Takes in that an endpoint has answered: seconds from connecting to the end of the answer.
function _M.observe(endpoint, seconds)
  local now, entry = ngx.now(), times[endpoint.name]
  if not entry then
    return remember(endpoint, seconds, now)
  end
  local weight = decayed(entry[2], now)
  entry[1] = entry[1] * weight + seconds * (1 - weight)
  entry[2] = now
end

-- Takes in that an endpoint could not be reached: however quickly that went, it is no quick one.
function _M.blame(endpoint)
  local now = ngx.now()
  local score = _M.score(endpoint, now)
  if not score then
    return remember(endpoint, UNREACHABLE, now)
  end
  local entry = times[endpoint.name]
  entry[1], entry[2] = max(score, UNREACHABLE), now
end

-- NGINX lists what it knows of each try, and nothing yet of one that is about to begin: the last value, or nil.
local function last(list)
  local found
  for value in gmatch(list or "", "[^,%s:]+") do
    found = value
  end
  return found
end

-- To be called in the balancer phase, before another try. A try on a kept connection that had gone stale says nothing
-- of its endpoint: that connection was there.
function _M.failed(endpoint)
  if last(ngx.var.upstream_connect_time) == "-" then
    _M.blame(endpoint)
  end
end

-- To be called in the log phase, for the endpoint of the last try.
function _M.ended(endpoint)
  local var = ngx.var
  if last(var.upstream_connect_time) == "-" then
    return _M.blame(endpoint)
  end
  local seconds = tonumber(last(var.upstream_response_time))
  if seconds then
    _M.observe(endpoint, seconds)
  end
end

return _M
