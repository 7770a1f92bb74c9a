-- The API of the data plane, on a Unix socket that only the control plane and the agent reach.
--
--   POST /push     one transaction (see frames.lua); 507 when memory ends, and then nothing of it was written
--   GET  /status   which generation and version run, and how full memory is
--   GET  /zones    how full the zones of limits are
--   GET  /metrics  handed-over metric blocks, each behind its length

local boot = require "tidegate.boot"
local cjson = require "cjson.safe"
local frames = require "tidegate.frames"
local metrics = require "tidegate.metrics"
local regex = require "tidegate.regex"
local store = require "tidegate.store"
local zones = require "tidegate.zones"

local ngx = ngx
local data = ngx.shared.tidegate_data

local BLOCKS = 64 -- metric blocks in one answer

local _M = {}

local function answer(status, value)
  ngx.status = status
  ngx.header["Content-Type"] = "application/json"
  ngx.print(cjson.encode(value))
  return ngx.exit(ngx.HTTP_OK)
end

local function body()
  ngx.req.read_body()
  local text = ngx.req.get_body_data()
  if text then
    return text
  end
  local file = ngx.req.get_body_file()
  if not file then
    return ""
  end
  local handle = assert(io.open(file, "rb"))
  text = handle:read("*a")
  handle:close()
  return text
end

function _M.push()
  local operations, version = frames.read(body(), 1)
  if not operations then
    return answer(400, { error = version })
  end
  local current = store.version() or 0
  if version ~= current + 1 and version ~= 1 then
    return answer(409, { error = "version " .. version .. " does not follow " .. current, version = current })
  end
  local ok, reason = store.write(operations, version)
  if not ok then
    return answer(507, { error = reason, version = current, capacity = data:capacity(), free = data:free_space() })
  end
  return answer(200, { version = version, capacity = data:capacity(), free = data:free_space() })
end

function _M.status()
  return answer(200, {
    generation = boot.generation(),
    workers = boot.workers(),
    worker_count = ngx.worker.count(),
    version = store.version() or 0,
    capacity = data:capacity(),
    free = data:free_space(),
    patterns = regex.count(),
  })
end

function _M.zones()
  return answer(200, zones.fill())
end

function _M.metrics()
  for _, block in ipairs(metrics.take(BLOCKS)) do
    ngx.print(#block, "\n", block)
  end
end

return _M
