-- Lists of networks, compiled for membership tests on binary addresses.
--
-- IPv4 networks are kept in one table for each prefix length; IPv6 ones are compared one by one.

local bit = require "bit"
local byte, find, gmatch, gsub = string.byte, string.find, string.gmatch, string.gsub
local match, sub = string.match, string.sub
local band, lshift, rshift, tobit = bit.band, bit.lshift, bit.rshift, bit.tobit

local _M = {}

local MAPPED = string.rep("\0", 10) .. "\255\255" -- IPv4 in IPv6 (RFC 4291, 2.5.5.2)

local function word(bytes, offset)
  local a, b, c, d = byte(bytes, offset + 1, offset + 4)
  return bit.bor(lshift(a, 24), lshift(b, 16), lshift(c, 8), d)
end

local function mask(length)
  if length == 0 then
    return 0
  end
  return tobit(lshift(0xffffffff, 32 - length))
end

local function parse4(address)
  local a, b, c, d = match(address, "^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  return a and string.char(a, b, c, d)
end

-- The control plane writes addresses in their canonical, compressed form.
local function parse6(address)
  local start, dotted = match(address, "^(.*:)(%d+%.%d+%.%d+%.%d+)$")
  if dotted then
    local number = word(parse4(dotted), 0)
    address = start .. bit.tohex(rshift(number, 16), 4) .. ":" .. bit.tohex(band(number, 0xffff), 4)
  end
  local head, tail = match(address, "^(.*)::(.*)$")
  local groups = {}
  local function collect(text, into)
    for group in gmatch(text, "[^:]+") do
      into[#into + 1] = tonumber(group, 16)
    end
  end
  if head then
    local rest = {}
    collect(head, groups)
    collect(tail, rest)
    while #groups + #rest < 8 do
      groups[#groups + 1] = 0
    end
    for _, group in ipairs(rest) do
      groups[#groups + 1] = group
    end
  else
    collect(address, groups)
  end
  local bytes = {}
  for index, group in ipairs(groups) do
    bytes[index] = string.char(rshift(group, 8), band(group, 255))
  end
  return table.concat(bytes)
end

-- An address that the control plane has written, as 4 or 16 bytes.
function _M.parse(text)
  return parse4(text) or parse6(text)
end

-- The binary form of an address that anybody may have written; nil for what is none.
function _M.binary(text)
  local a, b, c, d = match(text, "^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$")
  if a then
    a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
    return a < 256 and b < 256 and c < 256 and d < 256 and string.char(a, b, c, d) or nil
  end
  if #text > 39 or find(text, "[^%x:]") or not find(text, ":", 1, true) or find(text, "%x%x%x%x%x") then
    return nil -- with a dotted end it is one of IPv4, which nobody writes so
  end
  local _, compressed = gsub(text, "::", "")
  local _, colons = gsub(text, ":", "")
  local ends = find(text, "^:[^:]") or find(text, "[^:]:$") or find(text, ":::", 1, true)
  if ends or compressed > 1 or colons > 7 or (compressed == 0 and colons ~= 7) then
    return nil
  end
  return parse6(text)
end

-- From texts such as `10.0.0.0/8` and `2001:db8::/32`; nil for an absent or empty list.
function _M.compile(list)
  if not list or #list == 0 then
    return nil
  end
  local compiled = { lengths = {}, v4 = {}, v6 = {} }
  for _, text in ipairs(list) do
    local address, length = match(text, "^(.-)/(%d+)$")
    length = tonumber(length)
    local v4 = parse4(address)
    if not v4 and length >= 96 then -- IPv4 in IPv6 is what an IPv4 client is
      local v6 = parse6(address)
      if sub(v6, 1, 12) == MAPPED then
        v4, length = sub(v6, 13), length - 96
      end
    end
    if v4 then
      if not compiled.v4[length] then
        compiled.v4[length] = {}
        compiled.lengths[#compiled.lengths + 1] = { length, mask(length) }
      end
      compiled.v4[length][band(word(v4, 0), mask(length))] = true
    else
      compiled.v6[#compiled.v6 + 1] = { parse6(address), length }
    end
  end
  return compiled
end

local function inside6(address, network, length)
  local whole = rshift(length, 3)
  if sub(address, 1, whole) ~= sub(network, 1, whole) then
    return false
  end
  local rest = band(length, 7)
  if rest == 0 then
    return true
  end
  local cover = band(lshift(0xff, 8 - rest), 0xff)
  return band(byte(address, whole + 1), cover) == band(byte(network, whole + 1), cover)
end

-- Whether a binary address (4 or 16 bytes) is in one of the networks.
function _M.contains(compiled, address)
  if #address == 16 and sub(address, 1, 12) == MAPPED then
    address = sub(address, 13)
  end
  if #address == 4 then
    local number = word(address, 0)
    local lengths = compiled.lengths
    for index = 1, #lengths do
      local entry = lengths[index]
      if compiled.v4[entry[1]][band(number, entry[2])] then
        return true
      end
    end
    return false
  end
  local v6 = compiled.v6
  for index = 1, #v6 do
    if #address == 16 and inside6(address, v6[index][1], v6[index][2]) then
      return true
    end
  end
  return false
end

return _M
