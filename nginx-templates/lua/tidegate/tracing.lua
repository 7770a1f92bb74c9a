-- OpenTelemetry: the W3C trace context goes on to the backend with a span of our own, and what became of sampled
-- requests is handed over to the control plane, which exports it. Only routes that are traced come here.

local cjson = require "cjson.safe"
local contexts = require "tidegate.context"
local expression = require "tidegate.expression"
local ffi = require "ffi"

pcall(ffi.cdef, "int RAND_bytes(unsigned char *buffer, int count);")

local byte, find, format, match, sub = string.byte, string.find, string.format, string.match, string.sub
local tonumber = tonumber
local ngx = ngx
local random = ffi.new("unsigned char[8]")

local _M = {}

local settings = { sampler = "AlwaysOn", ratio = 1, parent_based = true, export = false, most = 2048 }
local open = {} -- by the key of a request: a rewrite may lead it through the router once more
local spans, count, dropped = {}, 0, 0

-- `given`: {sampler, ratio, parent_based, name (parts of a text), export, most (spans that may wait)}
function _M.configure(given)
  for name, value in pairs(given) do
    settings[name] = value
  end
end

local function new_span()
  ffi.C.RAND_bytes(random, 8)
  return format("%02x%02x%02x%02x%02x%02x%02x%02x", random[0], random[1], random[2], random[3], random[4], random[5],
    random[6], random[7])
end

local function is_id(text, length)
  return text and #text == length and find(text, "[^0]") and not find(text, "[^0-9a-f]")
end

-- Trace, span and flags of the caller; nil where it names none that is valid.
local function caller()
  local text = ngx.var.http_traceparent
  if not text then
    return nil
  end
  local version, trace, span, flags, rest = match(text, "^(%x%x)%-(%x+)%-(%x+)%-(%x%x)(.*)$")
  if not version or version == "ff" or not is_id(trace, 32) or not is_id(span, 16) or find(version, "%u") then
    return nil
  end
  if rest ~= "" and (version == "00" or byte(rest) ~= 45) then -- a later version may say more
    return nil
  end
  return trace, span, tonumber(flags, 16)
end

-- The same answer for all spans of a trace: by the last 52 bits of its number.
local function drawn(trace)
  local sampler = settings.sampler
  if sampler == "TraceIdRatioBased" then
    return tonumber(sub(trace, 20), 16) < settings.ratio * 2 ^ 52
  end
  return sampler == "AlwaysOn"
end

-- For log formats and snippets, under the names of the retired controller's module.
local function tell(var, id, span, sampled, told)
  var.opentelemetry_trace_id, var.opentelemetry_span_id, var.opentelemetry_sampled = id, span, sampled
  var.opentelemetry_context_traceparent = told
  var.opentelemetry_context_b3 = id .. "-" .. span .. "-" .. sampled
end

-- To be run in the rewrite phase of a request to a route that is traced.
function _M.start(context, route)
  local key = contexts.key()
  local trace = open[key]
  if trace then
    context.trace = trace
    return
  end
  local id, parent, flags
  if not route.trace.distrust then
    id, parent, flags = caller()
  end
  if not parent then
    id = ngx.var.request_id -- 32 random hexadecimal digits
    ngx.req.clear_header("tracestate")
  end
  local sampled
  if parent and settings.parent_based then
    sampled = flags % 2 == 1
  else
    sampled = drawn(id)
  end
  local span = new_span()
  trace = { id = id, parent = parent, span = span, sampled = sampled }
  local told = "00-" .. id .. "-" .. span .. (sampled and "-01" or "-00")
  ngx.req.set_header("traceparent", told)
  tell(ngx.var, id, span, sampled and "1" or "0", told)
  open[key] = trace
  context.trace = trace
end

local function name_of(route)
  local own = route.trace.name
  if own then
    return own
  end
  if settings.name then
    return expression.text(settings.name)
  end
  return route.labels.path or "/"
end

-- To be run in the log phase of a request that was traced.
function _M.finish(context)
  local trace, route = context.trace, context.route
  open[contexts.key()] = nil
  if not (trace.sampled and settings.export and route) then
    return
  end
  if count >= settings.most then
    dropped = dropped + 1
    return
  end
  local var, labels = ngx.var, route.labels
  count = count + 1
  spans[count] = {
    trace = trace.id, span = trace.span, parent = trace.parent, name = name_of(route),
    start = ngx.req.start_time(), finish = ngx.now(), status = ngx.status,
    method = ngx.req.get_method(), target = var.request_uri, host = var.host, scheme = var.scheme,
    protocol = var.server_protocol, agent = var.http_user_agent, client = var.remote_addr, upstream = var.upstream_addr,
    namespace = labels.namespace, ingress = labels.ingress, service = labels.service,
  }
end

-- Hands the spans over to the control plane.
function _M.flush()
  if count == 0 and dropped == 0 then
    return
  end
  local queue = ngx.shared.tidegate_traces
  local block = cjson.encode({ spans = count > 0 and spans or cjson.empty_array, dropped = dropped })
  if block and queue:rpush("spans", block) then
    dropped = 0
  else
    dropped = dropped + count
  end
  spans, count = {}, 0
end

-- What was handed over and not taken yet, a block each line.
function _M.print()
  local queue = ngx.shared.tidegate_traces
  for _ = 1, 64 do
    local block = queue:lpop("spans")
    if not block then
      return
    end
    ngx.print(block, "\n")
  end
end

function _M.start_worker()
  if settings.export then
    assert(ngx.timer.every(1, _M.flush))
  end
end

function _M.stop_worker()
  if settings.export then
    _M.flush()
  end
end

return _M
