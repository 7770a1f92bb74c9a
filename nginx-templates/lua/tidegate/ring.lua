-- Consistent hashing: each endpoint owns many points of a ring, a key belongs to the next point. When an endpoint
-- goes, only its own keys move.

local crc32 = ngx.crc32_long
local floor, sort = math.floor, table.sort

local POINTS = 160

local _M = {}

-- From a list of names (any order) a ring for `find`.
function _M.build(names)
  local points = {}
  for index = 1, #names do
    for number = 1, POINTS do
      points[#points + 1] = { crc32(names[index] .. "-" .. number), index, names[index] }
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
  local hash, hashes = crc32(key), ring.hashes
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
