-- Compiled patterns in a bounded cache of our own: the module's cache never evicts and slows down as it fills.
--
-- Two halves: what is used moves to the young one; when that is full the old one is destroyed and they change places.

local core = require "resty.core.regex"
local ffi = require "ffi"

local C = ffi.C
local compile, collect, destroy = core.re_match_compile, core.collect_captures, core.destroy_compiled_regex

local HALF = 4096
local NO_MATCH = -1

local _M = {}

local young, old, young_count = {}, {}, 0

local function rotate()
  for _, compiled in pairs(old) do
    if compiled then
      destroy(compiled)
    end
  end
  old, young, young_count = young, {}, 0
end

local function lookup(pattern, options)
  local key = options == "ij" and pattern or options .. "\0" .. pattern
  local compiled = young[key]
  if compiled ~= nil then
    return compiled
  end
  compiled = old[key]
  if compiled ~= nil then
    old[key] = nil
  else
    compiled = compile(pattern, options) or false
  end
  if young_count >= HALF then
    rotate()
  end
  young[key] = compiled
  young_count = young_count + 1
  return compiled
end

local function execute(compiled, subject)
  return C.ngx_http_lua_ffi_exec_regex(compiled, 0, subject, #subject, 0)
end

local function found(compiled, subject)
  if not compiled then
    return nil
  end
  local count = execute(compiled, subject)
  if count == NO_MATCH then
    return false
  end
  return count >= 0 or nil
end

-- Whether the pattern, ignoring case, is found in the subject; nil when it does not compile or runs past the match
-- limit.
function _M.matches(pattern, subject)
  return found(lookup(pattern, "ij"), subject)
end

-- Whether a pattern compiles.
function _M.valid(pattern)
  return lookup(pattern, "ij") ~= false
end

-- The same with case.
function _M.matches_case(pattern, subject)
  return found(lookup(pattern, "j"), subject)
end

-- The captures, by number and name, of the first place where the pattern is found ignoring case, or nil.
function _M.captures(pattern, subject)
  local compiled = lookup(pattern, "ij")
  if not compiled then
    return nil
  end
  local count = execute(compiled, subject)
  if count < 0 then
    return nil
  end
  if count == 0 then
    count = 1
  end
  return collect(compiled, count - 1, subject, 0)
end

-- Lets go of a pattern that no route uses any more.
function _M.release(pattern)
  local compiled = young[pattern]
  if compiled ~= nil then
    young[pattern] = nil
    young_count = young_count - 1
  else
    compiled = old[pattern]
    old[pattern] = nil
  end
  if compiled then
    destroy(compiled)
  end
end

function _M.count()
  local count = young_count
  for _ in pairs(old) do
    count = count + 1
  end
  return count
end

return _M
