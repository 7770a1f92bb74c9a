local stub = require "stub"
local frames = require "tidegate.frames"

local tests = {}

local function transaction(version, ...)
  local text = ""
  for _, operation in ipairs({ ... }) do
    local key, value = operation[1], operation[2]
    if value then
      text = text .. ("S %d %d\n%s%s\n"):format(#key, #value, key, value)
    else
      text = text .. ("D %d 0\n%s\n"):format(#key, key)
    end
  end
  return text .. ("E %d %.0f\n"):format(version, ngx.crc32_long(text))
end

function tests.reads_what_was_written()
  local text = transaction(7, { "h:a", "one\ntwo\0three" }, { "b:x", false }, { "n:", "" })
  local operations, version, behind = frames.read(text, 1)
  stub.equal(version, 7)
  stub.equal(behind, #text + 1)
  stub.equal(#operations, 3)
  stub.equal(operations[1][1], "h:a")
  stub.equal(operations[1][2], "one\ntwo\0three")
  stub.equal(operations[2][1], "b:x")
  stub.equal(operations[2][2], false)
  stub.equal(operations[3][2], "")
end

function tests.reads_a_transaction_without_operations()
  local operations, version = frames.read(transaction(3), 1)
  stub.equal(#operations, 0)
  stub.equal(version, 3)
end

function tests.reads_a_row_one_by_one()
  local text = transaction(1, { "a", "1" }) .. transaction(2, { "b", "2" })
  local _, first, behind = frames.read(text, 1)
  local operations, second, rest = frames.read(text, behind)
  stub.equal(first, 1)
  stub.equal(second, 2)
  stub.equal(operations[1][1], "b")
  stub.equal(rest, #text + 1)
end

function tests.refuses_every_torn_end()
  local text = transaction(12, { "h:a", "some value" }, { "h:b", false })
  for length = 0, #text - 1 do
    stub.equal(frames.read(text:sub(1, length), 1), nil, "length " .. length)
  end
end

function tests.refuses_every_changed_byte_of_its_body()
  local text = transaction(12, { "h:a", "some value" })
  local body = text:find("E 12", 1, true) - 1
  for position = 1, body do
    local changed = text:sub(1, position - 1) .. string.char((text:byte(position) + 1) % 256) .. text:sub(position + 1)
    stub.equal(frames.read(changed, 1), nil, "position " .. position)
  end
end

function tests.refuses_what_is_no_transaction()
  for _, text in ipairs({ "", "\n", "hello\n", "S 1\n", "S -1 2\n", "X 1 2\n", "E 1 0", "E x 0\n", "E 1 5\n",
    "S 99999999999999999999 1\nab\n" }) do
    stub.equal(frames.read(text, 1), nil, text)
  end
end

stub.run(tests, arg[1])
