-- A backend compiled for balancing, and the choice of an endpoint. What should outlive a change of the endpoints is
-- kept apart: turns by backend, response times by endpoint.

local contexts = require "tidegate.context"
local ewma = require "tidegate.ewma"
local networks = require "tidegate.networks"
local ring = require "tidegate.ring"

local score = ewma.score
local random, ceil = math.random, math.ceil
local concat = table.concat
local byte, gsub, sub = string.byte, string.gsub, string.sub
local ngx = ngx

local turns = ngx.shared.tidegate_turns

local DOLLAR = string.byte("$")

local _M = {}
_M.__index = _M

-- Variables of the retired controller that say which route a request took: from the route, for NGINX knows them only
-- where a log format wants them.
local LABELS = {
  ["$namespace"] = "namespace",
  ["$ingress_name"] = "ingress",
  ["$service_name"] = "service",
  ["$service_port"] = "port",
  ["$location_path"] = "path",
}
local UPSTREAM_NAME = { ["$proxy_upstream_name"] = true, ["$proxy_host"] = true }

local own_ports, own_networks = {}, nil

-- Where this very pod listens for those who run it: `networks` are its addresses, `ports` the admin and webhook ports.
function _M.configure(own)
  own_ports, own_networks = {}, networks.compile(own.networks)
  for _, port in ipairs(own.ports) do
    own_ports[port] = true
  end
end

-- Whatever a record says, no request is sent there.
local function without_own(endpoints)
  local kept = {}
  for _, endpoint in ipairs(endpoints) do
    local address = own_ports[endpoint.port] and own_networks and gsub(endpoint.address, "[%[%]]", "")
    if address and networks.contains(own_networks, networks.parse(address)) then
      ngx.log(ngx.ERR, "endpoint ", endpoint.address, ":", endpoint.port, " is a port of this pod itself: refused")
    else
      kept[#kept + 1] = endpoint
    end
  end
  return kept
end

function _M.compile(record)
  local self = setmetatable(record, _M)
  self.endpoints = without_own(record.endpoints or {})
  self.count = #self.endpoints
  for _, endpoint in ipairs(self.endpoints) do
    endpoint.name = endpoint.address .. ":" .. endpoint.port
  end
  for _, follow in ipairs(record.follows or {}) do
    follow.variable = "cookie_" .. follow.cookie
  end
  self.digest = ngx.md5(record.id)
  self.log_name = record.id == "_default" and "upstream-default-backend" or gsub(record.id, "[/:]", "-")
  return self
end

function _M:names()
  local names = {}
  for index, endpoint in ipairs(self.endpoints) do
    names[index] = endpoint.name
  end
  return names
end

function _M:ring_of_endpoints()
  if not self.endpoint_ring then
    self.endpoint_ring = ring.build(self:names())
  end
  return self.endpoint_ring
end

-- The turn is shared by all workers, so that few requests are spread as evenly as many.
local function round_robin(self, failed)
  local endpoints, count = self.endpoints, self.count
  local place = (turns:incr(self.id, 1, 0) or random(count)) % count
  local endpoint
  for _ = 1, count do
    place = place % count + 1
    endpoint = endpoints[place]
    if not failed or not failed[endpoint.name] then
      break
    end
  end
  return endpoint
end

-- From a random place on, the first two endpoints that have not failed in this request: two, one and nil, or, when all
-- have, any one and nil.
local function untried(endpoints, index, failed)
  local count, first = #endpoints, nil
  for offset = 0, count - 1 do
    local endpoint = endpoints[(index + offset - 1) % count + 1]
    if not failed[endpoint.name] then
      if first then
        return first, endpoint
      end
      first = endpoint
    end
  end
  return first or endpoints[index], nil
end

-- Two endpoints by chance, the one with the lower decayed response time; one that failed in this request only if
-- there is no other.
local function two_choices(self, failed)
  local endpoints, count, now = self.endpoints, self.count, ngx.now()
  local index = random(count)
  local first = endpoints[index]
  local second = endpoints[(index + random(count - 1) - 1) % count + 1] -- never the first one again
  if failed then
    first, second = untried(endpoints, index, failed)
    if not second then
      return first
    end
  end
  local a, b = score(first, now), score(second, now)
  if not a or not b then -- one without history counts as an average one: let it be tried
    return a and second or first
  end
  return a <= b and first or second
end

local function value_of(part)
  if byte(part) ~= DOLLAR then
    return part
  end
  local label = LABELS[part]
  if not label and not UPSTREAM_NAME[part] then
    return ngx.var[sub(part, 2)] or ""
  end
  local context = contexts.get()
  local route = context and context.route
  if not route then
    return ""
  end
  return label and route.labels[label] or not label and route.log_name or ""
end

-- The value of a variable by its name without the `$`, those that say which route a request took included; of our own
-- ones nothing, as the text that names it may be anybody's.
function _M.variable(name)
  if sub(name, 1, 9) == "tidegate_" then
    return ""
  end
  return value_of("$" .. name)
end

-- The text of an expression: literals, and variables with a leading `$`.
function _M.key_of(parts)
  local values = {}
  for index = 1, #parts do
    values[index] = value_of(parts[index])
  end
  return concat(values)
end

function _M:hash_key()
  return _M.key_of(self.hash_by)
end

-- The endpoint that a client of persistent affinity names by its digest, or nil when it is gone.
function _M:by_digest(digest)
  local table_of = self.digests
  if not table_of then
    table_of = {}
    for _, endpoint in ipairs(self.endpoints) do
      table_of[self.digest_of(endpoint)] = endpoint
    end
    self.digests = table_of
  end
  return table_of[digest]
end

function _M.digest_of(endpoint)
  return ngx.md5("tidegate endpoint " .. endpoint.name)
end

local function excluded_indexes(self, failed)
  local set = {}
  for index, endpoint in ipairs(self.endpoints) do
    if failed[endpoint.name] then
      set[index] = true
    end
  end
  return set
end

-- The endpoint that owns a key; the next one on the ring while its owner is among the failed.
function _M:by_key(key, failed)
  local endpoint_ring = self:ring_of_endpoints()
  local owner, position = ring.find(endpoint_ring, key)
  if failed and failed[self.endpoints[owner].name] then
    owner = ring.next(endpoint_ring, position, excluded_indexes(self, failed)) or owner
  end
  return self.endpoints[owner]
end

local function subset(self, key, failed)
  local size = self.subset_size
  local groups = ceil(self.count / size)
  if not self.group_ring then
    local names = {}
    for group = 1, groups do
      names[group] = "set" .. group
    end
    self.group_ring = ring.build(names)
  end
  local group = ring.find(self.group_ring, key)
  local endpoint
  for _ = 1, 2 * size do
    -- the last group is filled up with the first endpoints
    endpoint = self.endpoints[((group - 1) * size + random(size) - 1) % self.count + 1]
    if not failed or not failed[endpoint.name] then
      break
    end
  end
  return endpoint
end

-- The endpoint for a request; `failed` is the set of names that were tried in vain, or nil at the first try.
function _M:choose(failed)
  if self.count == 1 then
    return self.endpoints[1]
  end
  local algorithm = self.algorithm
  if algorithm == nil then
    return round_robin(self, failed)
  end
  if algorithm == "ewma" then
    return two_choices(self, failed)
  end
  local key = self:hash_key()
  if self.subset_size then
    return subset(self, key, failed)
  end
  return self:by_key(key, failed)
end

return _M
