-- How full NGINX's limit zones are. NGINX tells nobody, but each zone is a shared mapping that begins with its slab
-- pool (`ngx_slab_pool_t`), whose counters of pages are read here; nothing is written.
--
-- A pool is recognised by its own words: the limit modules leave ` in limit_req zone "NAME"` or
-- ` in limit_conn_zone "NAME"` there for log lines.

local ffi = require "ffi"

local cast = ffi.cast
local gmatch, match, tonumber = string.gmatch, string.match, tonumber

ffi.cdef [[
typedef struct {
  uintptr_t lock[2];
  size_t    min_size;
  size_t    min_shift;
  uintptr_t pages;
  uintptr_t last;
  uintptr_t free[3];
  uintptr_t stats;
  uintptr_t free_pages;
  uintptr_t start;
  uintptr_t finish;
  uintptr_t rest[24];
} tidegate_slab_pool_t;
]]

local PAGE = 4096
local NAME_LENGTH = 128

local _M = {}

local function mappings()
  local handle = io.open("/proc/self/maps", "r")
  if not handle then
    return ""
  end
  local text = handle:read("*a")
  handle:close()
  return text
end

local function zone_name(pool, first, last)
  for index = 0, 23 do
    local address = tonumber(pool.rest[index])
    if address > first and address < last - NAME_LENGTH then
      local name = match(ffi.string(cast("const char *", address), NAME_LENGTH), '^ in limit_[%a_ ]+ "([%w_]+)"')
      if name then
        return name
      end
    end
  end
  return nil
end

-- {bytes, free} of each limit zone, by its name.
function _M.fill()
  local found = {}
  for low, high in gmatch(mappings(), "(%x+)%-(%x+) rw%-s [^\n]*/dev/zero") do
    local first, last = tonumber(low, 16), tonumber(high, 16)
    local pool = cast("tidegate_slab_pool_t *", first)
    -- a pool ends where its mapping ends
    if last - first >= 8 * PAGE and tonumber(pool.finish) == last then
      local name = zone_name(pool, first, last)
      if name then
        local bytes = last - tonumber(pool.start)
        found[name] = { bytes = bytes, free = tonumber(pool.free_pages) * PAGE }
      end
    end
  end
  return found
end

return _M
