-- The text form of changes: one transaction is a run of operations closed by an end line.
--
--   S <key length> <value length>\n<key><value>\n    set
--   D <key length> 0\n<key>\n                        delete
--   E <version> <crc32 of everything before>\n       end of the transaction
--
-- A push carries one transaction; the state file is a row of them. A torn end is not an error: what lacks its end line,
-- or does not match its sum, was never accepted.

local find, sub, tonumber = string.find, string.sub, tonumber
local crc32 = ngx.crc32_long

local _M = {}

-- Reads one transaction from `position`. Returns the row of operations {key, value or false}, its version and the
-- position behind it; nil and a reason where there is none.
function _M.read(text, position)
  local start, operations = position, {}
  while true do
    local line_end = find(text, "\n", position, true)
    if not line_end then
      return nil, "no end line"
    end
    local _, _, kind, first, second = find(sub(text, position, line_end - 1), "^([SDE]) (%d+) (%d+)$")
    if not kind then
      return nil, "unknown line at " .. position
    end
    if kind == "E" then
      if crc32(sub(text, start, position - 1)) ~= tonumber(second) then
        return nil, "wrong sum"
      end
      return operations, tonumber(first), line_end + 1
    end
    local key_length, value_length = tonumber(first), tonumber(second)
    local value_end = line_end + key_length + value_length
    if value_end + 1 > #text then
      return nil, "cut off"
    end
    local key = sub(text, line_end + 1, line_end + key_length)
    local value = kind == "S" and sub(text, line_end + key_length + 1, value_end) or false
    operations[#operations + 1] = { key, value }
    position = value_end + 2
  end
end

return _M
