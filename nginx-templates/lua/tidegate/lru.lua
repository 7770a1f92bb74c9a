-- Values by name, up to a sum of their costs: what was asked for longest ago goes first. Asking allocates nothing.

local setmetatable = setmetatable

local _M = {}
local meta = { __index = _M }

local function nothing() end

-- Rows are a ring; `ends` lies between the newest and the oldest. `dropped` is told what a value had cost that went.
function _M.new(most, dropped)
  local ends = {}
  ends.newer, ends.older = ends, ends
  return setmetatable({ most = most, cost = 0, rows = {}, ends = ends, dropped = dropped or nothing }, meta)
end

local function unlink(row)
  row.newer.older, row.older.newer = row.older, row.newer
end

local function link(self, row)
  local ends = self.ends
  row.newer, row.older = ends, ends.older
  ends.older.newer, ends.older = row, row
end

function _M:get(name)
  local row = self.rows[name]
  if not row then
    return nil
  end
  if row.newer ~= self.ends then
    unlink(row)
    link(self, row)
  end
  return row.value
end

function _M:delete(name)
  local row = self.rows[name]
  if row then
    unlink(row)
    self.rows[name] = nil
    self.cost = self.cost - row.cost
    self.dropped(row.cost)
  end
end

-- The value is kept even if it alone costs more than all may.
function _M:set(name, value, cost)
  self:delete(name)
  while self.cost > 0 and self.cost + cost > self.most do
    self:delete(self.ends.newer.name)
  end
  local row = { name = name, value = value, cost = cost }
  self.rows[name] = row
  self.cost = self.cost + cost
  link(self, row)
end

function _M:clear()
  local ends = self.ends
  ends.newer, ends.older = ends, ends
  self.rows, self.cost = {}, 0
end

return _M
