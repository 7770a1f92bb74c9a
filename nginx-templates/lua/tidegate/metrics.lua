-- Request metrics: counted into tables of this worker in the log phase, handed over once a second.
--
-- A series is a row of doubles: [0] requests, then for each histogram its buckets, one for what exceeds them, and the
-- sum. Rows are used again after each hand-over, so a request allocates nothing. What cannot be handed over (the queue
-- in shared memory is full while nobody reads it) stays here and is counted on.

local backends = require "tidegate.backend"
local contexts = require "tidegate.context"
local ffi = require "ffi"

local concat = table.concat
local tonumber = tonumber
local ngx = ngx
local now, start_time = ngx.now, ngx.req.start_time
local queue = ngx.shared.tidegate_metrics

local _M = {}

local SEPARATOR = "\0"
local HISTOGRAMS = 7
local time_buckets, length_buckets, size_buckets
local offsets, width, row_type, row_bytes
local enabled, per_host, undefined_host = false, true, false
local max_series = 600

local series, active, overflow = {}, 0, nil -- rows by label text; how many; the row for everything beyond the bound
local free, free_count = {}, 0

-- `given`: {enabled, per_host, undefined_host, max_series, time, length, size}; the last three are bucket bounds.
function _M.configure(given)
  enabled, per_host, undefined_host = given.enabled, given.per_host, given.undefined_host
  max_series = given.max_series
  time_buckets, length_buckets, size_buckets = given.time, given.length, given.size
  offsets, width = {}, 1
  local of = { time_buckets, time_buckets, time_buckets, time_buckets, length_buckets, length_buckets, size_buckets }
  for index = 1, HISTOGRAMS do
    offsets[index] = width
    width = width + #of[index] + 2
  end
  row_type = ffi.typeof("double[" .. width .. "]")
  row_bytes = width * 8
end

local function new_row()
  if free_count > 0 then
    free_count = free_count - 1
    return free[free_count + 1]
  end
  return row_type()
end

local function observe(row, offset, buckets, value)
  local count = #buckets
  local index = 1
  while index <= count and value > buckets[index] do
    index = index + 1
  end
  row[offset + index - 1] = row[offset + index - 1] + 1
  row[offset + count + 1] = row[offset + count + 1] + value
end

local function add_row(labels)
  if max_series > 0 and active >= max_series then
    overflow = overflow or new_row()
    return overflow
  end
  local row = new_row()
  series[labels] = row
  active = active + 1
  return row
end

-- The label text of a route and status: host, method, path, namespace, ingress, service, canary, status.
local function label_text(route, host, canary, method, status)
  local labels = route.labels
  return concat({
    per_host and host or "", method, labels.path or "", labels.namespace or "", labels.ingress or "",
    labels.service or "", canary or "", status,
  }, SEPARATOR)
end

local STATUSES = {}
for status = 100, 599 do
  STATUSES[status] = tostring(status)
end

local METHODS = {}
for method in string.gmatch("GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE PROPFIND PROPPATCH MKCOL COPY MOVE"
  .. " LOCK UNLOCK REPORT SEARCH PURGE", "%u+") do
  METHODS[method] = method
end

-- Label texts are kept with the route: by method, then status.
local function labels_of(context, route, status)
  local method = ngx.req.get_method()
  local canary = context.canary
  if canary then
    return label_text(route, context.host and context.host.name or "", context.backend.log_name, method, status)
  end
  local by_method = route.label_texts
  if not by_method then
    by_method = {}
    route.label_texts = by_method
  end
  local by_status = by_method[method]
  if not by_status then
    method = METHODS[method] or "other" -- a client may invent any number of them
    by_status = by_method[method] or {}
    by_method[method] = by_status
  end
  local text = by_status[status]
  if not text then
    text = label_text(route, route.host or "", nil, method, STATUSES[status] or "other")
    by_status[status] = text
  end
  return text
end

local NO_ROUTE = { labels = {} }

local function count(context)
  local route = context.route or NO_ROUTE
  if per_host and not undefined_host and not context.host then
    return
  end
  local labels = labels_of(context, route, ngx.status)
  local row = series[labels] or add_row(labels)
  row[0] = row[0] + 1
  local var = ngx.var
  observe(row, offsets[1], time_buckets, now() - start_time())
  if context.tries then
    local response = tonumber(var.upstream_response_time)
    if response then
      observe(row, offsets[2], time_buckets, response)
    end
    local header = tonumber(var.upstream_header_time)
    if header then
      observe(row, offsets[3], time_buckets, header)
    end
    local connect = tonumber(var.upstream_connect_time)
    if connect then
      observe(row, offsets[4], time_buckets, connect)
    end
  end
  local sent = tonumber(var.bytes_sent)
  observe(row, offsets[5], length_buckets, tonumber(var.request_length))
  observe(row, offsets[6], length_buckets, sent)
  observe(row, offsets[7], size_buckets, sent)
end

-- To be run in the log phase of every request.
function _M.log()
  local context = contexts.get()
  if not context then
    return
  end
  if enabled then
    count(context)
  end
  local backend = context.backend
  if backend and backend.algorithm == "ewma" and context.tries then
    local seconds = tonumber(ngx.var.upstream_response_time)
    if seconds then -- one try: of several it is a list
      backends.observe(context.endpoint, seconds)
    end
  end
  contexts.release()
end

local function append(parts, labels, row)
  parts[#parts + 1] = #labels .. "\n"
  parts[#parts + 1] = labels
  parts[#parts + 1] = ffi.string(row, row_bytes)
end

local function recycle(row)
  ffi.fill(row, row_bytes)
  free_count = free_count + 1
  free[free_count] = row
end

-- Hands what was counted since the last time to the queue that the control plane empties.
function _M.flush()
  if active == 0 and not overflow then
    return
  end
  local parts = { width .. "\n" }
  for labels, row in pairs(series) do
    append(parts, labels, row)
  end
  if overflow then
    append(parts, "overflow", overflow)
  end
  if not queue:rpush("queue", concat(parts)) then
    return
  end
  for _, row in pairs(series) do
    recycle(row)
  end
  if overflow then
    recycle(overflow)
  end
  series, active, overflow = {}, 0, nil
end

-- Up to `most` handed-over blocks, oldest first.
function _M.take(most)
  local blocks = {}
  for index = 1, most do
    local block = queue:lpop("queue")
    if not block then
      break
    end
    blocks[index] = block
  end
  return blocks
end

function _M.start()
  if enabled then
    assert(ngx.timer.every(1, _M.flush))
  end
end

return _M
