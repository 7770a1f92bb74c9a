local stub = require "stub"
local networks = require "tidegate.networks"

local tests = {}

local function bytes(...)
  return string.char(...)
end

local MAPPED = ("\0"):rep(10) .. "\255\255"

function tests.nothing_for_an_absent_or_empty_list()
  stub.equal(networks.compile(nil), nil)
  stub.equal(networks.compile({}), nil)
end

function tests.whole_ipv4_space_takes_each_ipv4_address_and_no_other()
  local list = networks.compile({ "0.0.0.0/0" })
  stub.equal(networks.contains(list, bytes(0, 0, 0, 0)), true)
  stub.equal(networks.contains(list, bytes(255, 255, 255, 255)), true)
  stub.equal(networks.contains(list, ("\32"):rep(16)), false)
end

function tests.single_addresses()
  local list = networks.compile({ "192.0.2.1/32", "2001:db8::1/128" })
  stub.equal(networks.contains(list, bytes(192, 0, 2, 1)), true)
  stub.equal(networks.contains(list, bytes(192, 0, 2, 2)), false)
  stub.equal(networks.contains(list, bytes(0x20, 1, 0x0d, 0xb8) .. ("\0"):rep(11) .. "\1"), true)
  stub.equal(networks.contains(list, bytes(0x20, 1, 0x0d, 0xb8) .. ("\0"):rep(11) .. "\2"), false)
end

function tests.high_bit_of_the_first_byte()
  local list = networks.compile({ "128.0.0.0/1" })
  stub.equal(networks.contains(list, bytes(200, 1, 2, 3)), true)
  stub.equal(networks.contains(list, bytes(127, 255, 255, 255)), false)
end

function tests.ipv4_in_ipv6_counts_as_ipv4()
  local list = networks.compile({ "10.0.0.0/8" })
  stub.equal(networks.contains(list, MAPPED .. bytes(10, 1, 1, 1)), true)
  stub.equal(networks.contains(list, MAPPED .. bytes(11, 1, 1, 1)), false)
end

function tests.ipv4_in_ipv6_as_a_network()
  for _, text in ipairs({ "::ffff:a00:0/104", "::ffff:10.0.0.0/104" }) do
    local list = networks.compile({ text })
    stub.equal(networks.contains(list, bytes(10, 1, 1, 1)), true, text)
    stub.equal(networks.contains(list, MAPPED .. bytes(10, 1, 1, 1)), true, text)
    stub.equal(networks.contains(list, bytes(11, 1, 1, 1)), false, text)
  end
end

function tests.client_of_a_unix_socket_is_in_no_network()
  local list = networks.compile({ "0.0.0.0/0", "::/0" })
  stub.equal(networks.contains(list, "unix:"), false)
  stub.equal(networks.contains(list, ""), false)
end

stub.run(tests, arg[1])
