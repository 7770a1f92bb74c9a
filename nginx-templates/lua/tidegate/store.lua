-- What this worker knows: records from shared memory, decoded and compiled when first asked for.
--
-- Keys: h:<host> b:<backend> c:<certificate name> n:globals, and q:<host> for the records that an older generation of
-- workers still needs. n:version counts transactions, l:<version> lists the keys that one changed. A worker compares
-- the version once a request and forgets just what has changed since.

local cjson = require "cjson.safe"
local hosts_compiler = require "tidegate.host"
local backend_compiler = require "tidegate.backend"

local decode = cjson.decode
local gmatch, sub, byte = string.gmatch, string.sub, string.byte
local data = ngx.shared.tidegate_data

local LOG_KEPT = 512 -- transactions of which the changed keys are remembered
local HOST, BACKEND, CERTIFICATE = byte("h"), byte("b"), byte("c")

local _M = { certificates = {}, certificate_count = 0 }

local version = -1
local hosts, backends, globals = {}, {}, nil
local policies = {} -- digests that this worker's own configuration has

function _M.set_policies(digests)
  for _, digest in ipairs(digests) do
    policies[digest] = true
  end
end

local function forget_everything()
  for _, host in pairs(hosts) do
    host:release()
  end
  hosts, backends, globals = {}, {}, nil
  _M.certificates, _M.certificate_count = {}, 0
end

local function forget(key)
  local kind, name = byte(key), sub(key, 3)
  if kind == HOST then
    local host = hosts[name]
    if host then
      host:release()
      hosts[name] = nil
    end
  elseif kind == BACKEND then
    local backend = backends[name]
    if backend then
      backend.stale = true
    end
  elseif kind == CERTIFICATE then
    _M.certificates[name] = nil
  elseif key == "n:globals" then
    globals = nil
  end
end

local function catch_up(wanted)
  if version < 0 or wanted < version or wanted - version > LOG_KEPT then
    forget_everything()
  else
    for number = version + 1, wanted do
      local keys = data:get("l:" .. number)
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

local function runs_here(record)
  for _, route in ipairs(record.routes or {}) do
    if route.policy and not policies[route.policy] then
      return false
    end
  end
  return true
end

-- The newest record of the host whose policies this worker has: one that was loaded before a reload serves what it
-- served then until it is gone.
local function choose_record(name, text)
  local record = decode(text)
  if runs_here(record) then
    return record
  end
  local older = data:get("q:" .. name)
  for _, candidate in ipairs(older and decode(older) or {}) do
    if runs_here(candidate) then
      return candidate
    end
  end
  for _, route in ipairs(record.routes) do
    if route.policy and not policies[route.policy] then
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

-- The backend with its balancing state, or nil when there is none.
function _M.backend(id)
  local backend = backends[id]
  if backend and not backend.stale then
    return backend
  end
  local text = data:get("b:" .. id)
  backend = text and backend_compiler.compile(decode(text), backend)
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
end

-- A transaction of version 1 is a whole new state: what it does not name goes.
local function drop_others(keys)
  local named = { ["n:version"] = true, ["l:1"] = true }
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
  local ok, reason = data:safe_set("l:" .. number, table.concat(keys, "\n"))
  if ok then
    ok, reason = data:safe_set("n:version", number)
  end
  if not ok then
    restore(saved)
    return nil, reason
  end
  if number == 1 then
    drop_others(keys)
  end
  data:delete("l:" .. number - LOG_KEPT)
  return true
end

function _M.version()
  return data:get("n:version")
end

return _M
