-- Answers lines of `<address in hex> <network>,<network>,...` with 1 or 0.

require "stub"
local networks = require "tidegate.networks"

for line in io.lines() do
  local hex, texts = line:match("^(%x+) (%S+)$")
  local address = hex:gsub("%x%x", function(pair)
    return string.char(tonumber(pair, 16))
  end)
  local list = {}
  for text in texts:gmatch("[^,]+") do
    list[#list + 1] = text
  end
  print(networks.contains(networks.compile(list), address) and 1 or 0)
  io.flush()
end
