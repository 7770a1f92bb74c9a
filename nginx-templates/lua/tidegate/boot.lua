-- Start of a generation of workers: its settings, its data (from the state file where shared memory is empty, as at the
-- first start and after a change of its size), and the register of workers that have come up.

local cjson = require "cjson.safe"
local frames = require "tidegate.frames"

local ngx = ngx
local data, register = ngx.shared.tidegate_data, ngx.shared.tidegate_workers

local _M = {}

local settings

local function apply_file(path)
  local handle = io.open(path, "rb")
  if not handle then
    return
  end
  local text = handle:read("*a")
  handle:close()
  local store = require "tidegate.store"
  local position = 1
  while position <= #text do
    local operations, version, behind = frames.read(text, position)
    if not operations then
      ngx.log(ngx.NOTICE, path, ": ends at ", position, ": ", version)
      return
    end
    if version > (store.version() or 0) then
      local ok, reason = store.write(operations, version)
      if not ok then
        ngx.log(ngx.ERR, path, ": ", reason)
        return
      end
    end
    position = behind
  end
end

-- To be run in the master at each (re)load, before workers exist. `text` is a JSON object: generation, state (a
-- folder), policies (digests), servers (hosts and policies by profile), and the settings of the other modules.
function _M.start(text)
  require "resty.core"
  settings = assert(cjson.decode(text))
  local store = require "tidegate.store"
  local router, balancer, metrics = require "tidegate.router", require "tidegate.balancer", require "tidegate.metrics"
  router.configure(settings.router)
  balancer.configure(settings.balancer)
  metrics.configure(settings.metrics)
  if settings.own then
    require("tidegate.backend").configure(settings.own)
  end
  require("tidegate.tracing").configure(settings.tracing)
  -- for the phases that every request runs through, where `require` would be a call into C each time
  local rewrite = require("tidegate.block").guard(router.rewrite, settings.blocked)
  if settings.peers then -- before all else: who the client is
    local peers = require "tidegate.peers"
    peers.configure(settings.peers)
    rewrite = peers.before(rewrite)
  end
  local decide = rewrite == router.rewrite and router.decide or function()
    return "1"
  end
  local certificates = require "tidegate.certificates"
  certificates.configure(settings.certificates)
  _G.tidegate = {
    decide = decide,
    rewrite = rewrite,
    balance = balancer.balance,
    log = metrics.log,
    certify = certificates.choose,
  }
  require("tidegate.admin")
  -- now: a worker's user may not be allowed to read the files
  require("tidegate.access")
  require("tidegate.digest").configure(settings.router.users_folder)
  require("tidegate.answers")
  require("tidegate.http2").configure(settings.clear_http2)
  store.set_policies(settings.policies, settings.servers)
  if not data:get("n:version") then
    apply_file(settings.state .. "/base")
    apply_file(settings.state .. "/log")
  end
  collectgarbage()
end

function _M.start_worker()
  math.randomseed(ngx.worker.pid() * 7919 + math.floor(ngx.now() * 1000))
  register:set(settings.generation .. ":" .. ngx.worker.id(), ngx.worker.pid())
  require("tidegate.metrics").start()
  require("tidegate.tracing").start_worker()
end

function _M.stop_worker()
  require("tidegate.metrics").flush()
  require("tidegate.tracing").stop_worker()
end

function _M.generation()
  return settings.generation
end

-- Process ids by worker number, of this generation.
function _M.workers()
  local found = {}
  for id = 0, ngx.worker.count() - 1 do
    local pid = register:get(settings.generation .. ":" .. id)
    if pid then
      found[tostring(id)] = pid
    end
  end
  return found
end

return _M
