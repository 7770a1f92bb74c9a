-- Consistent hashing: each endpoint owns many points of a ring, a key belongs to the next point. When an endpoint
-- goes, only its own keys move.

local bit = require "bit"

local band, bxor, rshift, tobit = bit.band, bit.bxor, bit.rshift, bit.tobit
local crc32 = ngx.crc32_long
local floor, sort = math.floor, table.sort

local POINTS = 160

local _M = {}

-- 32-bit product; the halves keep it within what a double holds exactly.
local function multiply(number, factor)
  local high = rshift(number, 16) * factor % 65536
  return tobit(band(number, 0xffff) * factor + high * 65536)
end

-- CRCs of similar texts are related to each other; mixing their bits (the last step of MurmurHash3) ends that.
local function hash_of(text)
  local number = tobit(crc32(text))
  number = multiply(bxor(number, rshift(number, 16)), 0x85ebca6b)
  number = multiply(bxor(number, rshift(number, 13)), 0xc2b2ae35)
  number = bxor(number, rshift(number, 16))
  return number % 4294967296
end

-- From a list of names (any order) a ring for `find`.
function _M.build(names)
  local points = {}
  for index = 1, #names do
    for number = 1, POINTS do
      points[#points + 1] = { hash_of(names[index] .. "-" .. number), index, names[index] }
    end
  end
  sort(points, function(a, b)
    if a[1] ~= b[1] then
      return a[1] < b[1]
    end
    return a[3] < b[3]
  end)
  local hashes, owners = {}, {}
  for position, point in ipairs(points) do
    hashes[position], owners[position] = point[1], point[2]
  end
  return { hashes = hashes, owners = owners, size = #points }
end

-- The index of the owner of a key, and the position of its point.
function _M.find(ring, key)
  local hash, hashes = hash_of(key), ring.hashes
  local low, high = 1, ring.size
  while low <= high do
    local middle = floor((low + high) / 2)
    if hashes[middle] < hash then
      low = middle + 1
    else
      high = middle - 1
    end
  end
  local position = low > ring.size and 1 or low
  return ring.owners[position], position
end

-- The next owner behind a position that is not in `excluded` (a set of indexes), or nil.
function _M.next(ring, position, excluded)
  for _ = 1, ring.size do
    position = position % ring.size + 1
    local owner = ring.owners[position]
    if not excluded[owner] then
      return owner, position
    end
  end
  return nil
end

return _M
