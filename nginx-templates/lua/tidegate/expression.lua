-- Texts that are put together for each request, of literals and, with a leading `$`, variables.

local backends = require "tidegate.backend"

local escape_uri = ngx.escape_uri
local byte, concat, format, gsub, sub = string.byte, table.concat, string.format, string.gsub, string.sub
local DOLLAR = byte("$")
local ngx = ngx

local _M = {}

local values = {} -- used again and again

local function percent(letter)
  return format("%%%02X", byte(letter))
end

-- The value of a variable; one that the client has a say in cannot end a line or a request.
local function value_of(name)
  if name == "escaped_request_uri" then
    return escape_uri(ngx.var.request_uri)
  end
  return (gsub(backends.variable(name), "[^\033-\126]", percent))
end

-- The text; with `separator` between its parts where it has to tell them apart.
function _M.text(parts, separator)
  local count = #parts
  for index = 1, count do
    local part = parts[index]
    values[index] = byte(part) == DOLLAR and value_of(sub(part, 2)) or part
  end
  return concat(values, separator, 1, count)
end

return _M
