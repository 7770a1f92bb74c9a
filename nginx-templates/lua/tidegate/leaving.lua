-- Connections of a worker that is to end. Once, when it is told so, NGINX closes those that are idle and announces the
-- end (GOAWAY) on those that are not. One whose TLS handshake is under way at that moment is missed, and a client of
-- HTTP/2 may keep it, and the worker with its old configuration, until it is cut off. So a request that such a worker
-- ends has NGINX do the same once more.

local ffi = require "ffi"
require "resty.core"

local C, exiting, after = ffi.C, ngx.worker.exiting, ngx.timer.at

ffi.cdef [[
extern void *tidegate_cycle __asm__("ngx_cycle");
void tidegate_close_idle(void *cycle) __asm__("ngx_close_idle_connections");
]]

local _M = {}

local asked = false

local function close_idle()
  asked = false
  C.tidegate_close_idle(C.tidegate_cycle)
end

jit.off(close_idle) -- it may end requests, whose log phase is Lua again

-- To be run in the log phase of every request.
function _M.look()
  if exiting() and not asked then
    asked = true
    after(0, close_idle) -- and not here, inside of what is done for a connection
  end
end

return _M
