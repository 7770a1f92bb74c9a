local stub = require "stub"
local lru = require "tidegate.lru"

local tests = {}

local function filled(most, ...)
  local kept = lru.new(most)
  for _, name in ipairs { ... } do
    kept:set(name, name:upper(), 1)
  end
  return kept
end

local function there(kept, ...)
  local found = {}
  for _, name in ipairs { ... } do
    found[#found + 1] = kept.rows[name] and name or "-"
  end
  return table.concat(found, " ")
end

function tests.what_was_asked_for_longest_ago_goes_first()
  local kept = filled(3, "a", "b", "c")
  stub.equal(kept:get("a"), "A")
  kept:set("d", "D", 1)
  stub.equal(there(kept, "a", "b", "c", "d"), "a - c d")
  stub.equal(kept:get("b"), nil)
end

function tests.costs_are_what_is_bounded()
  local kept = filled(10, "a", "b", "c")
  kept:set("large", true, 9)
  stub.equal(there(kept, "a", "b", "c", "large"), "- - c large")
  stub.equal(kept.cost, 10)
end

function tests.value_beyond_the_bound_is_kept_alone()
  local kept = filled(2, "a", "b")
  kept:set("huge", true, 100)
  stub.equal(there(kept, "a", "b", "huge"), "- - huge")
  kept:set("c", true, 1)
  stub.equal(there(kept, "huge", "c"), "- c")
end

function tests.value_set_anew_and_one_deleted_cost_nothing_any_more()
  local kept = filled(5, "a", "b")
  kept:set("a", "new", 3)
  stub.equal(kept:get("a"), "new")
  stub.equal(kept.cost, 4)
  kept:delete("a")
  kept:delete("a")
  stub.equal(kept.cost, 1)
  kept:clear()
  stub.equal(there(kept, "a", "b"), "- -")
  stub.equal(kept.cost, 0)
  kept:set("c", "C", 1)
  stub.equal(kept:get("c"), "C")
end

function tests.cost_of_what_goes_is_told()
  local told = {}
  local kept = lru.new(5, function(cost)
    told[#told + 1] = cost
  end)
  kept:set("a", "A", 3)
  kept:delete("b")
  kept:set("a", "new", 2)
  kept:set("c", "C", 4)
  kept:delete("c")
  stub.equal(table.concat(told, " "), "3 2 4")
end

return tests
