-- What one request knows across its phases. `ngx.ctx` does not survive a jump to a named location; a table keyed by
-- the address of NGINX's request does, costs no lookup in NGINX, and its entries are used again and again.

local calls = require "tidegate.calls"

local address = calls.identity

local _M = {}

local active, free, free_count = {}, {}, 0

-- A context for this request; the fields of a former request are gone.
function _M.new()
  local context
  if free_count > 0 then
    context = free[free_count]
    free_count = free_count - 1
  else
    context = {}
  end
  active[address()] = context
  return context
end

function _M.get()
  return active[address()]
end

-- The context of another request of this worker, by its key.
function _M.find(key)
  return active[key]
end

function _M.key()
  return address()
end

local function drop(key)
  local context = active[key]
  if context then
    active[key] = nil
    context.host, context.route, context.backend, context.endpoint = nil, nil, nil, nil
    context.exit, context.tries, context.sticky_key, context.error_code, context.inside = nil, nil, nil, nil, nil
    context.canary, context.failed, context.affinity, context.trace = nil, nil, nil, nil
    free_count = free_count + 1
    free[free_count] = context
  end
  return context
end

-- To be called in the log phase, which every request of a client reaches; NGINX's own ones beside it do not.
function _M.release()
  local context = drop(address())
  local asking = context and context.asking
  if asking then
    context.asking = nil
    if asking.question then
      local question = drop(asking.question)
      if question then
        question.asking = nil
      end
    end
  end
end

return _M
