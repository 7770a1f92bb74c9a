-- Request metrics: counted into tables of this worker in the log phase, handed over once a second.
--
-- A series is a row of doubles: [0] requests, then for each histogram its buckets, one for what exceeds them, and the
-- sum. Rows are used again after each hand-over, so a request allocates nothing. What cannot be handed over (the queue
-- in shared memory is full while nobody reads it) stays here and is counted on.

local calls = require "tidegate.calls"
local contexts = require "tidegate.context"
local ewma = require "tidegate.ewma"
local ffi = require "ffi"
local leaving = require "tidegate.leaving"
local tracing = require "tidegate.tracing"

local byte, concat, floor, format = string.byte, table.concat, math.floor, string.format
local ngx = ngx
local TILDE = byte("~")
local now, start_time, seconds_of, count_of = calls.now, calls.start_time, calls.seconds, calls.count
local queue = ngx.shared.tidegate_metrics

local _M = {}

local SEPARATOR = "\0"
local time_bucket, length_bucket, size_bucket -- functions: the place of a value among the bounds
local offsets, sums, width, row_type, row_bytes
local enabled, per_host, undefined_host = false, true, false
local max_series = 600

local series, active, overflow = {}, 0, nil -- rows by label text; how many; the row for everything beyond the bound
local free, free_count = {}, 0

-- The source of a binary search among the bounds from `first` to `last`: a loop of few rounds would keep LuaJIT from
-- compiling what calls it.
local function search(bounds, first, last)
  if first > last then
    return "return " .. first - 1
  end
  local middle = floor((first + last) / 2)
  return format("if value <= %.17g then %s else %s end", bounds[middle], search(bounds, first, middle - 1),
    search(bounds, middle + 1, last))
end

local function bucket_function(bounds)
  return assert(loadstring("return function(value) " .. search(bounds, 1, #bounds) .. " end"))()
end

-- `given`: {enabled, per_host, undefined_host, max_series, time, length, size}; the last three are bucket bounds.
function _M.configure(given)
  enabled, per_host, undefined_host = given.enabled, given.per_host, given.undefined_host
  max_series = given.max_series
  time_bucket, length_bucket, size_bucket =
    bucket_function(given.time), bucket_function(given.length), bucket_function(given.size)
  offsets, sums, width = {}, {}, 1
  local time, length = given.time, given.length
  for index, bounds in ipairs({ time, time, time, time, length, length, given.size }) do
    offsets[index], sums[index] = width, width + #bounds + 1
    width = width + #bounds + 2
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

local function observe(row, histogram, bucket, value)
  local place, sum = offsets[histogram] + bucket(value), sums[histogram]
  row[place] = row[place] + 1
  row[sum] = row[sum] + value
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

-- The label text: host, method, path, namespace, ingress, service, canary, status.
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

local WEAK = { __mode = "k" } -- routes and canaries come and go

-- Label texts are kept with the route or canary, under the name of an alias with both: by method, then status.
local function texts_of(owner, alias)
  if not alias then
    local texts = owner.label_texts
    if not texts then
      texts = {}
      owner.label_texts = texts
    end
    return texts
  end
  local by_owner = alias.label_texts
  if not by_owner then
    by_owner = setmetatable({}, WEAK)
    alias.label_texts = by_owner
  end
  local texts = by_owner[owner]
  if not texts then
    texts = {}
    by_owner[owner] = texts
  end
  return texts
end

local function labels_of(context, route, status)
  local method, canary, asked = ngx.req.get_method(), context.canary, context.host
  local alias = asked and asked.alias_of and byte(asked.name) ~= TILDE and asked -- the name that was asked for
  local by_method = texts_of(canary or route, alias)
  local by_status = by_method[method]
  if not by_status then
    method = METHODS[method] or "other" -- a client may invent any number of them
    by_status = by_method[method] or {}
    by_method[method] = by_status
  end
  local text = by_status[status]
  if not text then
    local host = alias and alias.name or route.host
    text = label_text(route, host, canary and canary.log_name, METHODS[method] or "other", STATUSES[status] or "other")
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
  local labels
  if undefined_host and not context.host then -- a name that nobody declares: any number of them, so none is kept
    local method, status = METHODS[ngx.req.get_method()] or "other", STATUSES[ngx.status] or "other"
    labels = label_text(route, ngx.var.host, nil, method, status)
  else
    labels = labels_of(context, route, ngx.status)
  end
  local row = series[labels] or add_row(labels)
  row[0] = row[0] + 1
  observe(row, 1, time_bucket, now() - start_time())
  if context.tries then
    local response = seconds_of("upstream_response_time")
    if response then
      observe(row, 2, time_bucket, response)
    end
    local header = seconds_of("upstream_header_time")
    if header then
      observe(row, 3, time_bucket, header)
    end
    local connect = seconds_of("upstream_connect_time")
    if connect then
      observe(row, 4, time_bucket, connect)
    end
  end
  local sent = count_of("bytes_sent")
  observe(row, 5, length_bucket, count_of("request_length"))
  observe(row, 6, length_bucket, sent)
  observe(row, 7, size_bucket, sent)
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
    ewma.ended(context.endpoint)
  end
  if context.trace then
    tracing.finish(context)
  end
  contexts.release()
  leaving.look()
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
