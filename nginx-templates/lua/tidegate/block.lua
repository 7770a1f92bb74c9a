-- Clients that are turned away before anything else: by address, User-Agent or Referer.

local contexts = require "tidegate.context"
local networks = require "tidegate.networks"
local peers = require "tidegate.peers"
local regex = require "tidegate.regex"

local lower, sub = string.lower, string.sub
local ngx = ngx

local _M = {}

local FORBIDDEN, BROKEN = 403, 503

-- Texts, which ignore case as in NGINX's `map`, are looked up; patterns are tried one by one.
local function compile(list)
  if not list or #list == 0 then
    return nil
  end
  local compiled = { texts = {}, patterns = {} }
  for _, word in ipairs(list) do
    if sub(word, 1, 2) == "~*" then
      compiled.patterns[#compiled.patterns + 1] = { sub(word, 3), regex.matches }
    elseif sub(word, 1, 1) == "~" then
      compiled.patterns[#compiled.patterns + 1] = { sub(word, 2), regex.matches_case }
    else
      local text = sub(word, 1, 1) == "\\" and sub(word, 2) or word
      compiled.texts[lower(text)] = true
    end
  end
  return compiled
end

-- The status for a header's value, or nil. A pattern that gives up lets nobody in.
local function judged(compiled, value)
  value = value or ""
  if compiled.texts[lower(value)] then
    return FORBIDDEN
  end
  local patterns = compiled.patterns
  for index = 1, #patterns do
    local pattern = patterns[index]
    local found = pattern[2](pattern[1], value)
    if found then
      return FORBIDDEN
    elseif found == nil then
      ngx.log(ngx.ERR, "the pattern ", pattern[1], " could not be matched")
      return BROKEN
    end
  end
  return nil
end

-- The rewrite phase with the lists before it; `rewrite` itself where there are none. `replaced`: 403 has a page of its
-- own.
function _M.guard(rewrite, lists)
  local addresses = networks.compile(lists.networks)
  local agents, referers = compile(lists.agents), compile(lists.referers)
  if not addresses and not agents and not referers then
    return rewrite
  end

  local function verdict()
    local var = ngx.var
    if addresses and networks.contains(addresses, peers.address()) then
      return FORBIDDEN
    end
    return agents and judged(agents, var.http_user_agent) or referers and judged(referers, var.http_referer)
  end

  return function()
    local status = verdict()
    if not status then
      return rewrite()
    end
    local context = contexts.new()
    if lists.replaced then
      return ngx.exit(status)
    end
    context.exit = status
    return ngx.exec("@tidegate_bare")
  end
end

return _M
