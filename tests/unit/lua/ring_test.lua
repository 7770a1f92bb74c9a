local stub = require "stub"
local ring = require "tidegate.ring"

local tests = {}

local function names_of(count)
  local names = {}
  for number = 1, count do
    names[number] = "10.0.0." .. number .. ":8080"
  end
  return names
end

local function owner(names, built, key)
  return names[(ring.find(built, key))]
end

function tests.removing_one_name_moves_only_its_keys()
  for _, count in ipairs({ 2, 3, 10 }) do
    local all = names_of(count)
    local before = ring.build(all)
    for gone = 1, count do
      local rest = {}
      for index, name in ipairs(all) do
        if index ~= gone then
          rest[#rest + 1] = name
        end
      end
      local after = ring.build(rest)
      for key = 1, 300 do
        local former = owner(all, before, "key" .. key)
        if former ~= all[gone] then
          stub.equal(owner(rest, after, "key" .. key), former)
        end
      end
    end
  end
end

function tests.order_of_the_names_does_not_matter()
  local names = names_of(7)
  local reversed = {}
  for index, name in ipairs(names) do
    reversed[#names - index + 1] = name
  end
  local one, other = ring.build(names), ring.build(reversed)
  for key = 1, 1000 do
    stub.equal(owner(names, one, "k" .. key), owner(reversed, other, "k" .. key))
  end
end

function tests.each_name_gets_a_fair_share()
  local names = names_of(8)
  local built, counts = ring.build(names), {}
  for key = 1, 16000 do
    local name = owner(names, built, "key-" .. key)
    counts[name] = (counts[name] or 0) + 1
  end
  for _, name in ipairs(names) do
    local count = counts[name] or 0
    assert(count > 1200 and count < 3000, name .. " has " .. count .. " of 16000 keys")
  end
end

function tests.next_owner_is_none_of_the_excluded()
  local names = names_of(4)
  local built = ring.build(names)
  for key = 1, 200 do
    local first, position = ring.find(built, "key" .. key)
    local second = ring.next(built, position, { [first] = true })
    assert(second ~= first)
    stub.equal(ring.next(built, position, { true, true, true, true }), nil)
  end
end

function tests.next_owner_is_the_one_without_the_first()
  local names = names_of(5)
  local built = ring.build(names)
  for key = 1, 200 do
    local first, position = ring.find(built, "key" .. key)
    local rest = names_of(5)
    table.remove(rest, first)
    local second = ring.next(built, position, { [first] = true })
    stub.equal(owner(rest, ring.build(rest), "key" .. key), names[second])
  end
end

function tests.one_name_owns_everything()
  local built = ring.build({ "a" })
  for key = 1, 50 do
    stub.equal((ring.find(built, "key" .. key)), 1)
  end
end

stub.run(tests, arg[1])
