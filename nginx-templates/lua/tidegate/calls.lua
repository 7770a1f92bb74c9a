-- The calls into NGINX that every request makes. lua-resty-core's own forms of them end in a tail call to a built-in
-- function; LuaJIT cannot compile such a function by itself, gives it up, and with it everything that calls it. These
-- do the same and are compiled.

local base = require "resty.core.base"
local ffi = require "ffi"
require "resty.core"

local C = ffi.C
local get_request, get_string_buf = base.get_request, base.get_string_buf
local string_of, cast, tonumber = ffi.string, ffi.cast, tonumber
local value, length, message = ffi.new("char *[1]"), ffi.new("size_t[1]"), ffi.new("char *[1]")
local uintptr = ffi.typeof("uintptr_t")
local bytes = ffi.typeof("const uint8_t *")
local OK, ZERO, POINT = 0, 48, 46

local _M = {}

-- The value of a variable, or nil; as `ngx.var`, but without captures and without errors.
function _M.variable(name)
  local size = #name
  local status = C.ngx_http_lua_ffi_var_get(get_request(), name, size, get_string_buf(size), 0, value, length, message)
  if status ~= OK then
    return nil
  end
  local text = string_of(value[0], length[0])
  return text
end

-- A variable that is written `d.ddd` as NGINX writes seconds, or otherwise as a number; nil when it is neither. The
-- usual form becomes a number without becoming a string first.
function _M.seconds(name)
  local size = #name
  local status = C.ngx_http_lua_ffi_var_get(get_request(), name, size, get_string_buf(size), 0, value, length, message)
  if status ~= OK then
    return nil
  end
  local text, count = cast(bytes, value[0]), tonumber(length[0])
  if count == 5 and text[1] == POINT then
    return ((text[0] - ZERO) * 1000 + (text[2] - ZERO) * 100 + (text[3] - ZERO) * 10 + text[4] - ZERO) / 1000
  end
  local number = tonumber(string_of(value[0], count))
  return number
end

-- A variable that NGINX always writes as a whole number.
function _M.count(name)
  local size = #name
  C.ngx_http_lua_ffi_var_get(get_request(), name, size, get_string_buf(size), 0, value, length, message)
  local text, digits = cast(bytes, value[0]), tonumber(length[0])
  local number = text[0] - ZERO
  if digits == 1 then
    return number
  end
  number = number * 10 + text[1] - ZERO
  if digits == 2 then
    return number
  end
  number = number * 10 + text[2] - ZERO
  if digits == 3 then
    return number
  end
  number = number * 10 + text[3] - ZERO
  if digits == 4 then
    return number
  end
  number = tonumber(string_of(value[0], digits))
  return number
end

-- Seconds since the epoch when the event loop last looked.
function _M.now()
  local seconds = tonumber(C.ngx_http_lua_ffi_now())
  return seconds
end

-- Seconds since the epoch when the request began.
function _M.start_time()
  local seconds = tonumber(C.ngx_http_lua_ffi_req_start_time(get_request()))
  return seconds
end

-- A number that no other request of this worker has at the same time.
function _M.identity()
  local number = tonumber(cast(uintptr, get_request()))
  return number
end

return _M
