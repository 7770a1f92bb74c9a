local stub = require "stub"
local peers = require "tidegate.peers"
local networks = require "tidegate.networks"

local tests = {}

local TRUSTED = networks.compile({ "10.0.0.0/8", "2001:db8::/32" })

local function client(source, chain)
  return (peers.resolve(TRUSTED, source, chain))
end

function tests.a_source_that_nobody_trusts_is_the_client_whatever_the_header_says()
  stub.equal(client("203.0.113.9", "198.51.100.1"), "203.0.113.9")
end

function tests.a_trusted_source_vouches_for_the_one_before_it_and_so_on()
  stub.equal(client("10.0.0.1", "198.51.100.1, 192.0.2.7, 10.0.0.2"), "192.0.2.7")
  stub.equal(client("10.0.0.1", "10.0.0.3,10.0.0.2"), "10.0.0.3")
  stub.equal(client("2001:db8::1", " 2001:DB8:0::2 , 2001:db8::3"), "2001:DB8:0::2")
end

function tests.ports_and_brackets_are_left_out()
  stub.equal(client("10.0.0.1", "198.51.100.1:4711"), "198.51.100.1")
  stub.equal(client("10.0.0.1", "[2001:dead::1]:80"), "2001:dead::1")
end

function tests.what_is_no_address_ends_the_chain()
  stub.equal(client("10.0.0.1", "198.51.100.1, unknown"), "10.0.0.1")
  stub.equal(client("10.0.0.1", "198.51.100.1, nonsense, 10.0.0.2"), "10.0.0.2")
  stub.equal(client("10.0.0.1", nil), "10.0.0.1")
  stub.equal(client("10.0.0.1", ",,"), "10.0.0.1")
end

function tests.only_addresses_have_a_binary_form()
  stub.equal(networks.binary("192.0.2.1"), string.char(192, 0, 2, 1))
  stub.equal(networks.binary("2001:db8::1"), string.char(0x20, 1, 0x0d, 0xb8) .. ("\0"):rep(11) .. "\1")
  stub.equal(networks.binary("::"), ("\0"):rep(16))
  stub.equal(networks.binary("1:2:3:4:5:6:7:8"), string.char(0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8))
  for _, text in ipairs({
    "", "256.1.1.1", "1.2.3", "1.2.3.4.5", "a.b.c.d", "1.2.3.4/8", ":", ":::", "1::2::3", "1:2:3", "12345::",
    "1:2:3:4:5:6:7:8:9", "::ffff:1.2.3.4", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "fe80::1%eth0", "unix:", "localhost",
  }) do
    stub.equal(networks.binary(text), nil)
  end
end

return tests
