local stub = require "stub"

local released, tried = {}, {}
package.loaded["tidegate.regex"] = {
  valid = function(text)
    return text ~= "^/no(pattern"
  end,
  -- patterns of these tests are Lua patterns as well
  matches = function(pattern, subject)
    tried[#tried + 1] = pattern
    if pattern:find("bad", 1, true) or pattern:find("(", 1, true) then
      return nil
    end
    return subject:lower():find(pattern:lower()) ~= nil
  end,
  release = function(pattern)
    released[#released + 1] = pattern
  end,
}
local hosts = require "tidegate.host"

local tests = {}

local function host(routes, fields)
  local record = { name = "a.test", routes = routes }
  for name, value in pairs(fields or {}) do
    record[name] = value
  end
  return hosts.compile(record)
end

local function prefix(path)
  return { match = "prefix", path = path }
end

local function exact(path)
  return { match = "exact", path = path }
end

local function pattern(path)
  return { match = "regex", path = path }
end

function tests.longest_prefix_wins_whatever_the_order()
  local root, a, ab = prefix("/"), prefix("/a"), prefix("/a/b")
  for _, order in ipairs({ { root, a, ab }, { ab, a, root }, { a, root, ab } }) do
    local one = host(order)
    stub.equal(one:match("/a/b/c"), ab)
    stub.equal(one:match("/a/bc"), a)
    stub.equal(one:match("/ab"), root)
    stub.equal(one:match("/"), root)
  end
end

function tests.prefix_takes_whole_segments()
  local one = host({ prefix("/foo") })
  assert(one:match("/foo"))
  assert(one:match("/foo/"))
  assert(one:match("/foo/bar"))
  stub.equal(one:match("/foobar"), nil)
  stub.equal(one:match("/fo"), nil)
  stub.equal(one:match("/"), nil)
end

function tests.exact_wins_over_prefix_of_the_same_path()
  local e, p = exact("/foo"), prefix("/foo")
  for _, order in ipairs({ { e, p }, { p, e } }) do
    local one = host(order)
    stub.equal(one:match("/foo"), e)
    stub.equal(one:match("/foo/"), p)
  end
end

function tests.prefix_with_a_slash_redirects_its_bare_path()
  local one = host({ prefix("/foo/") })
  local slash = one:match("/foo/")
  stub.equal(one:match("/foo").moved, slash)
  stub.equal(slash.moved, nil)
end

function tests.bare_path_of_another_route_is_not_redirected()
  local slash, bare, e = prefix("/foo/"), prefix("/foo"), exact("/foo")
  stub.equal(host({ slash, bare }):match("/foo"), bare)
  stub.equal(host({ bare, slash }):match("/foo/x"), slash)
  stub.equal(host({ slash, bare }):match("/foo/x"), slash)
  stub.equal(host({ slash, e }):match("/foo"), e)
end

function tests.lone_root_takes_everything_without_looking()
  local root = prefix("/")
  stub.equal(host({ root }).only, root)
  stub.equal(host({ root, exact("/a") }).only, nil)
  stub.equal(host({ root, prefix("/a") }).only, nil)
  stub.equal(host({ exact("/") }).only, nil)
  stub.equal(host({ pattern("/") }, { regex = true }).only, nil)
end

function tests.host_without_routes_matches_nothing()
  stub.equal(hosts.compile({ name = "a.test" }):match("/"), nil)
end

function tests.patterns_are_tried_in_their_order()
  local first, second = pattern("/a.*"), pattern("/abc")
  stub.equal(host({ first, second }, { regex = true }):match("/abc"), first)
  stub.equal(host({ second, first }, { regex = true }):match("/abc"), second)
end

function tests.patterns_that_cannot_match_are_not_tried()
  local one = host({ pattern("/api/v1/.*"), pattern("/shop"), pattern("/") }, { regex = true })
  tried = {}
  assert(one:match("/SHOP/x"))
  stub.equal(#tried, 1)
end

function tests.text_before_a_quantifier_may_be_absent()
  for text, uri in pairs({
    ["/ab?"] = "/a",
    ["/ab*"] = "/a",
    ["/x|/b"] = "/b",
    ["/a(b)"] = nil,
    ["/a.b"] = "/axb",
    ["/a[b]"] = "/ab",
  }) do
    local one = host({ pattern(text) }, { regex = true })
    tried = {}
    one:match(uri)
    stub.equal(#tried, 1, text)
  end
end

function tests.pattern_that_gives_up_is_told_apart_from_no_match()
  local one = host({ pattern("/bad"), pattern("/") }, { regex = true })
  local route, reason = one:match("/bad")
  stub.equal(route, nil)
  assert(reason:find("^/bad", 1, true))
  assert(one:match("/other"))
end

function tests.path_that_is_no_pattern_stands_for_itself()
  local broken, root = pattern("/no(pattern"), pattern("/")
  local one = host({ broken, root }, { regex = true })
  stub.equal(one:match("/NO(pattern/x"), broken)
end

function tests.release_names_each_pattern()
  local one = host({ pattern("/a"), pattern("/b") }, { regex = true })
  released = {}
  one:release()
  table.sort(released)
  stub.equal(table.concat(released, " "), "^/a ^/b")
end

function tests.route_is_plain_only_when_nothing_happens_between_matching_and_proxying()
  local plain, special = prefix("/"), prefix("/x")
  special.redirect = { status = 301, location = "/" }
  host({ plain, special })
  stub.equal(plain.plain, true)
  stub.equal(special.plain, false)
end

stub.run(tests, arg[1])
