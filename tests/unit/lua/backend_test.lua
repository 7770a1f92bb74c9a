local stub = require "stub"
local backends = require "tidegate.backend"
local ewma = require "tidegate.ewma"

local tests = {}

local function endpoints(count)
  local list = {}
  for number = 1, count do
    list[number] = { address = "10.0.0." .. number, port = 80 }
  end
  return list
end

local function compiled(count, fields)
  local record = { id = "ns/service:80", endpoints = endpoints(count) }
  for name, value in pairs(fields or {}) do
    record[name] = value
  end
  return backends.compile(record)
end

local function shares(backend, rounds, failed)
  local counts = {}
  for _ = 1, rounds do
    local name = backend:choose(failed).name
    counts[name] = (counts[name] or 0) + 1
  end
  return counts
end

function tests.backend_without_endpoints_counts_none()
  stub.equal(backends.compile({ id = "ns/none:80" }).count, 0)
end

function tests.own_ports_are_refused_on_own_addresses_in_every_spelling()
  backends.configure({ networks = { "127.0.0.0/8", "::1/128", "10.244.0.7/32", "0.0.0.0/32", "::/128" }, ports = { 10254, 8443 } })
  local own = {
    { "127.0.0.1", 10254 },
    { "127.9.9.9", 8443 },
    { "0.0.0.0", 10254 },
    { "10.244.0.7", 8443 },
    { "[::1]", 10254 },
    { "[::]", 10254 },
    { "[::ffff:127.0.0.1]", 10254 },
    { "[::ffff:af4:7]", 10254 },
  }
  local others = { { "127.0.0.1", 80 }, { "10.244.0.8", 10254 }, { "[2001:db8::1]", 10254 }, { "unix:/run/a.sock", 0 } }
  for _, endpoint in ipairs(own) do
    local record = { id = "ns/own:80", endpoints = { { address = endpoint[1], port = endpoint[2] } } }
    stub.equal(backends.compile(record).count, 0)
  end
  for _, endpoint in ipairs(others) do
    local record = { id = "ns/other:80", endpoints = { { address = endpoint[1], port = endpoint[2] } } }
    stub.equal(backends.compile(record).count, 1)
  end
  backends.configure({ networks = {}, ports = {} })
end

function tests.name_in_logs_is_that_of_the_retired_controller()
  stub.equal(compiled(1).log_name, "ns-service-80")
  stub.equal(backends.compile({ id = "_default" }).log_name, "upstream-default-backend")
end

function tests.round_robin_is_even()
  for _, count in pairs(shares(compiled(4), 400)) do
    stub.equal(count, 100)
  end
end

function tests.round_robin_skips_what_failed()
  local counts = shares(compiled(3), 100, { ["10.0.0.2:80"] = true })
  stub.equal(counts["10.0.0.2:80"], nil)
end

function tests.round_robin_goes_on_where_the_former_record_was()
  local former = compiled(4)
  local last = former:choose(nil).name
  local now = compiled(4)
  local numbers = { ["10.0.0.1:80"] = 1, ["10.0.0.2:80"] = 2, ["10.0.0.3:80"] = 3, ["10.0.0.4:80"] = 4 }
  stub.equal(numbers[now:choose(nil).name], numbers[last] % 4 + 1)
end

function tests.all_failed_still_gives_an_endpoint()
  local failed = { ["10.0.0.1:80"] = true, ["10.0.0.2:80"] = true }
  for _, fields in ipairs({ {}, { algorithm = "ewma" }, { algorithm = "hash", hash_by = { "x" } } }) do
    assert(compiled(2, fields):choose(failed))
  end
end

function tests.of_two_the_quicker_one_is_always_taken()
  local backend = compiled(2, { algorithm = "ewma" })
  ewma.observe(backend.endpoints[1], 0.5)
  ewma.observe(backend.endpoints[2], 0.01)
  local counts = shares(backend, 100)
  stub.equal(counts["10.0.0.2:80"], 100)
end

function tests.slow_endpoint_is_tried_again_once_its_time_has_faded()
  local backend = compiled(2, { algorithm = "ewma", id = "fade" })
  local slow, quick = backend.endpoints[1], backend.endpoints[2]
  slow.name, quick.name = "slow", "quick"
  ewma.observe(slow, 0.5)
  for _ = 1, 100 do
    stub.clock = stub.clock + 1
    ewma.observe(quick, 0.1)
  end
  stub.equal(backend:choose(nil), slow)
end

function tests.a_clock_that_is_set_back_counts_as_no_time()
  local backend = compiled(2, { algorithm = "ewma", id = "clock" })
  local slow, quick = backend.endpoints[1], backend.endpoints[2]
  slow.name, quick.name = "slow before", "quick before"
  for _, hours in ipairs({ 0, 1, 30, -5 }) do
    stub.clock = stub.clock - 3600 * hours
    for _ = 1, 3 do
      ewma.observe(slow, 0.5)
      ewma.observe(quick, 0.01)
      stub.clock = stub.clock + 1
    end
    local counts = shares(backend, 100)
    stub.equal(counts["quick before"], 100, hours .. " hours back")
    local score = ewma.score(slow, stub.clock)
    assert(score > 0 and score <= 0.5, score)
  end
end

function tests.endpoint_without_history_is_tried()
  local backend = compiled(2, { algorithm = "ewma" })
  backend.endpoints[1].name, backend.endpoints[2].name = "known", "new"
  ewma.observe(backend.endpoints[1], 0.001)
  stub.equal(backend:choose(nil).name, "new")
end

function tests.two_choices_avoid_what_failed()
  local backend = compiled(5, { algorithm = "ewma" })
  local failed = { ["10.0.0.1:80"] = true, ["10.0.0.2:80"] = true, ["10.0.0.3:80"] = true, ["10.0.0.4:80"] = true }
  for _ = 1, 200 do
    stub.equal(backend:choose(failed).name, "10.0.0.5:80")
  end
end

function tests.two_choices_reach_each_endpoint()
  local counts = shares(compiled(5, { algorithm = "ewma", id = "many" }), 1000)
  local reached = 0
  for _ in pairs(counts) do
    reached = reached + 1
  end
  assert(reached >= 4, reached .. " of 5 reached") -- what other tests observed may hold one back
end

function tests.hash_sends_equal_keys_to_one_endpoint()
  local backend = compiled(5, { algorithm = "hash", hash_by = { "$uri", "-x" } })
  local used = {}
  for key = 1, 200 do
    stub.var.uri = "/" .. key
    local first = backend:choose(nil)
    stub.equal(backend:choose(nil), first)
    used[first.name] = true
  end
  for _, endpoint in ipairs(backend.endpoints) do
    assert(used[endpoint.name], endpoint.name .. " is never used")
  end
end

function tests.hash_by_labels_of_the_route_needs_no_variables_of_nginx()
  local backend = compiled(5, { algorithm = "hash", hash_by = { "$namespace", "-", "$service_port", "$proxy_host" } })
  stub.context = { route = { labels = { namespace = "ns", port = "80" }, log_name = "ns-app-80" } }
  stub.equal(backend:hash_key(), "ns-80ns-app-80")
  stub.context = { route = { labels = {} } }
  stub.equal(backend:hash_key(), "-")
  stub.context = nil
  stub.equal(backend:hash_key(), "-")
end

function tests.hash_moves_a_failed_endpoints_keys_only()
  local backend = compiled(5, { algorithm = "hash", hash_by = { "$uri" } })
  for key = 1, 200 do
    stub.var.uri = "/" .. key
    local first = backend:choose(nil)
    local second = backend:choose({ ["10.0.0.3:80"] = true })
    if first.name == "10.0.0.3:80" then
      assert(second ~= first)
    else
      stub.equal(second, first)
    end
  end
end

function tests.subset_keeps_a_key_within_its_group()
  local backend = compiled(10, { algorithm = "hash", hash_by = { "$uri" }, subset_size = 3 })
  for key = 1, 20 do
    stub.var.uri = "/" .. key
    local reached = 0
    for _ in pairs(shares(backend, 200)) do
      reached = reached + 1
    end
    stub.equal(reached, 3)
  end
end

function tests.digest_names_its_endpoint()
  local backend = compiled(3)
  for _, endpoint in ipairs(backend.endpoints) do
    stub.equal(backend:by_digest(backend.digest_of(endpoint)), endpoint)
  end
  stub.equal(backend:by_digest("gone"), nil)
end

stub.run(tests, arg[1])
