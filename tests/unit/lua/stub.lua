-- What the modules under test need of `ngx`, outside NGINX. Asserts for the tests, too.

package.path = os.getenv("TIDEGATE_LUA") .. "/?.lua;" .. package.path
local bit = require "bit"

local crc_table = {}
for index = 0, 255 do
  local value = index
  for _ = 1, 8 do
    value = bit.band(value, 1) == 1 and bit.bxor(bit.rshift(value, 1), 0xEDB88320) or bit.rshift(value, 1)
  end
  crc_table[index] = value
end

local function crc32(text)
  local value = -1
  for position = 1, #text do
    value = bit.bxor(bit.rshift(value, 8), crc_table[bit.band(bit.bxor(value, text:byte(position)), 255)])
  end
  return bit.bnot(value) % 2 ^ 32
end

local stub = { clock = 1000, var = {} }

-- A shared dictionary as far as the modules use one.
local function dictionary()
  local values = {}
  return {
    incr = function(_, key, step, start)
      values[key] = (values[key] or start) + step
      return values[key]
    end,
    get = function(_, key)
      return values[key]
    end,
  }
end

ngx = {
  ERR = 4,
  log = function() end,
  crc32_long = crc32,
  md5 = function(text)
    return ("%08x"):format(crc32(text))
  end,
  now = function()
    return stub.clock
  end,
  shared = { tidegate_turns = dictionary() },
  var = stub.var,
}

-- The real one asks NGINX which request this is.
package.loaded["tidegate.context"] = {
  get = function()
    return stub.context
  end,
}

function stub.equal(found, wanted, what)
  if found ~= wanted then
    error(("%s: %s instead of %s"):format(what or "value", tostring(found), tostring(wanted)), 2)
  end
end

-- Runs the named test of a table, or prints their names.
function stub.run(tests, name)
  if name then
    return tests[name]()
  end
  for key in pairs(tests) do
    print(key)
  end
end

return stub
