-- What this worker knows: records from shared memory, decoded and compiled when first asked for.
--
-- Keys: h:<host> b:<backend> c:<certificate name> n:globals, and q:<host> for the records that an older generation of
-- workers still needs. n:version counts transactions, l:<version> lists the keys that one changed. A worker compares
-- the version once a request and forgets just what has changed since. A transaction that does not lead on from the
-- former version is a whole new state and begins an epoch; n:version holds both numbers as one.

local cjson = require "cjson.safe"
local hosts_compiler = require "tidegate.host"
local backend_compiler = require "tidegate.backend"
local lru = require "tidegate.lru"
local regex = require "tidegate.regex"

local decode = cjson.decode
local gmatch, match, sub, byte = string.gmatch, string.match, string.sub, string.byte
local data = ngx.shared.tidegate_data

local LOG_KEPT = 512 -- transactions of which the changed keys are remembered
local EPOCH = 2 ^ 32
local HOST, BACKEND, CERTIFICATE = byte("h"), byte("b"), byte("c")

-- The collector does not see the memory of OpenSSL's objects. It is made to work as if Lua had asked for as much anew;
-- else thousands of certificates that nobody needs would wait for it.
local function collect(bytes)
  collectgarbage("step", bytes / 1024)
end

-- `certificates` are parsed ones by name; `host_changes` counts how often a host was forgotten.
local _M = { certificates = lru.new(2 ^ 20, collect), host_changes = 0 }

local version = -1
local hosts, backends, globals = {}, {}, nil
local policies = {} -- digests that this worker's own configuration has
local places = {} -- by host name, where it has a native server of its own: {profile, policies}

local function set_of(list)
  local set = {}
  for _, item in ipairs(list) do
    set[item] = true
  end
  return set
end

-- `digests` are all policies; `servers` holds, by the digest of its profile, the hosts and policies of each server.
-- `_` is the catch-all server, which has every policy.
function _M.set_policies(digests, servers)
  policies = set_of(digests)
  for profile, server in pairs(servers) do
    local place = { profile = profile, policies = profile == "_" and policies or set_of(server.policies) }
    for _, name in ipairs(server.hosts) do
      places[name] = place
    end
  end
end

local function forget_everything()
  for _, host in pairs(hosts) do
    host:release()
  end
  hosts, backends, globals = {}, {}, nil
  _M.host_changes = _M.host_changes + 1
  _M.certificates:clear()
end

local function forget(key)
  local kind, name = byte(key), sub(key, 3)
  if kind == HOST then
    _M.host_changes = _M.host_changes + 1
    local host = hosts[name]
    if host then
      host:release()
      hosts[name] = nil
    end
  elseif kind == BACKEND then
    backends[name] = nil
  elseif kind == CERTIFICATE then
    _M.certificates:delete(name)
  elseif key == "n:globals" then
    globals = nil
  end
end

local function catch_up(wanted)
  if version < 0 or wanted < version or wanted - version > LOG_KEPT then -- so also in another epoch
    forget_everything()
  else
    for number = version + 1, wanted do
      local keys = data:get("l:" .. number % EPOCH)
      if not keys then
        forget_everything()
        break
      end
      for key in gmatch(keys, "[^\n]+") do
        forget(key)
      end
    end
  end
  version = wanted
end

-- To be called once at the beginning of a request or handshake.
function _M.sync()
  local wanted = data:get("n:version") or 0
  if wanted ~= version then
    catch_up(wanted)
  end
end

local function known_policies(name)
  local place = places[name]
  return place and place.policies or policies
end

local function in_its_server(name, record)
  local place = places[name]
  return not record.profile or place and place.profile == record.profile
end

local function runs_here(name, record)
  local known = known_policies(name)
  for _, route in ipairs(record.routes or {}) do
    if route.policy and not known[route.policy] then
      return false
    end
  end
  return in_its_server(name, record)
end

-- The newest record of the host whose policies and server this worker has: one that was loaded before a reload serves
-- what it served then until it is gone.
local function choose_record(name, text)
  local record = decode(text)
  if runs_here(name, record) then
    return record
  end
  local older = data:get("q:" .. name)
  for _, candidate in ipairs(older and decode(older) or {}) do
    if runs_here(name, candidate) then
      return candidate
    end
  end
  if not in_its_server(name, record) then
    return { name = record.name, routes = { { match = "prefix", path = "/", status = 421 } } }
  end
  local known = known_policies(name)
  for _, route in ipairs(record.routes) do
    if route.policy and not known[route.policy] then
      route.status = 503
    end
  end
  return record
end

-- The compiled host of that very name (exact or wildcard text), or nil.
function _M.host(name)
  local host = hosts[name]
  if host then
    return host
  end
  local text = data:get("h:" .. name)
  if not text then
    return nil
  end
  host = hosts_compiler.compile(choose_record(name, text))
  hosts[name] = host
  return host
end

-- The record of the wildcard host that covers a name, or nil.
function _M.wildcard(name)
  local dot = match(name, "^[%w_-]+()%.")
  return dot and _M.host("*" .. sub(name, dot))
end

-- The record of the first alias pattern that fits a name, or nil. A pattern that gives up fits nothing.
function _M.by_pattern(name)
  local patterns = _M.globals().host_patterns
  for index = 1, patterns and #patterns or 0 do
    local pattern = patterns[index]
    if regex.matches(sub(pattern, 2), name) then
      return _M.host(pattern)
    end
  end
  return nil
end

-- The backend with its balancing state, or nil when there is none.
function _M.backend(id)
  local backend = backends[id]
  if backend then
    return backend
  end
  local text = data:get("b:" .. id)
  backend = text and backend_compiler.compile(decode(text))
  backends[id] = backend
  return backend
end

function _M.globals()
  if not globals then
    local text = data:get("n:globals")
    globals = text and decode(text) or {}
  end
  return globals
end

function _M.certificate_record(name)
  local text = data:get("c:" .. name)
  return text and decode(text)
end

local function restore(saved)
  for number = #saved, 1, -1 do
    local key, value = saved[number][1], saved[number][2]
    if value then
      data:safe_set(key, value)
    else
      data:delete(key)
    end
  end
  -- a worker may have looked something up in the meantime: another epoch lets all forget it
  local number = data:get("n:version")
  if number then
    data:safe_set("n:version", number + EPOCH)
  end
end

-- What a whole new state does not name goes.
local function drop_others(keys, log)
  local named = { ["n:version"] = true, [log] = true }
  for _, key in ipairs(keys) do
    named[key] = true
  end
  for _, key in ipairs(data:get_keys(0)) do
    if not named[key] then
      data:delete(key)
    end
  end
end

-- Writes one transaction; all of it or, where memory ends, nothing. Returns true, or nil and a reason.
function _M.write(operations, number)
  local former = data:get("n:version") or 0
  local epoch = former - former % EPOCH
  local anew = number <= former % EPOCH
  local saved, keys = {}, {}
  for index, operation in ipairs(operations) do
    local key, value = operation[1], operation[2]
    saved[index] = { key, data:get(key) }
    keys[index] = key
    if value then
      local ok, reason = data:safe_set(key, value)
      if not ok then
        restore(saved)
        return nil, reason
      end
    else
      data:delete(key)
    end
  end
  local log = "l:" .. number
  saved[#saved + 1] = { log, data:get(log) }
  local ok, reason = data:safe_set(log, table.concat(keys, "\n"))
  if ok and anew then -- the version is there already: to write it again cannot fail
    drop_others(keys, log)
    epoch = epoch + EPOCH
  end
  if ok then
    ok, reason = data:safe_set("n:version", epoch + number)
  end
  if not ok then
    restore(saved)
    return nil, reason
  end
  data:delete("l:" .. number - LOG_KEPT)
  return true
end

function _M.version()
  local number = data:get("n:version")
  return number and number % EPOCH
end

return _M
