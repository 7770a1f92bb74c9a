-- A host compiled for matching: exact paths by table, prefixes by walking back over the slashes of the URI, regular
-- expressions in their given order. Mirrors NGINX: exact, else longest prefix, else (in regex mode) first match.

local answer_cache = require "tidegate.answer_cache"
local cors = require "tidegate.cors"
local networks = require "tidegate.networks"
local regex = require "tidegate.regex"

local byte, sub, find, lower, gsub = string.byte, string.sub, string.find, string.lower, string.gsub
local SLASH = byte("/")

local _M = {}
_M.__index = _M

-- The text in front of a pattern's first special character, in lower case: a cheap test that most URIs fail.
local function literal_start(pattern)
  local special = find(pattern, "[%^%$%[%]%(%){}%*%+%?|\\%.]")
  if not special then
    return lower(pattern)
  end
  if find(pattern, "|", special, true) then
    return ""
  end
  -- a quantifier makes the character before it optional
  local last = find(sub(pattern, special, special), "[%*%?{]") and special - 2 or special - 1
  return lower(sub(pattern, 1, last))
end

local function variable_name(prefix, name)
  return prefix .. gsub(lower(name), "-", "_")
end

local function prepare_external(external)
  local variables = {}
  for index, name in ipairs(external.answers or {}) do
    variables[index] = variable_name("upstream_http_", name)
  end
  external.variables = variables
  if external.cache_scope then
    answer_cache.compile(external)
  end
end

local function prepare(route, host)
  route.host = host.name
  route.labels = route.labels or {}
  if route.access then
    route.access.allow = networks.compile(route.access.allow)
    route.access.deny = networks.compile(route.access.deny)
  end
  route.limit_exempt = networks.compile(route.limit_exempt)
  for _, canary in ipairs(route.canaries or {}) do
    canary.header_variable = canary.header and variable_name("http_", canary.header)
    canary.cookie_variable = canary.cookie and "cookie_" .. canary.cookie
    canary.log_name = gsub(canary.backend, "[/:]", "-")
    canary.share = (canary.weight or 0) / (canary.total or 100)
    canary.sticky = canary.sticky ~= false
  end
  if route.affinity then
    route.affinity.variable = "cookie_" .. route.affinity.cookie
  end
  if route.cors then
    cors.compile(route.cors)
  end
  if route.external then
    prepare_external(route.external)
  end
  route.log_name = route.backend and gsub(route.backend, "[/:]", "-") or "upstream-default-backend"
  if route.policy then
    route.location = "@policy_" .. route.policy
    -- whether that location has a say in answers that the router makes, or in whether they are logged
    route.resumes = route.intercepts or route.external or route.cors or route.headers or route.quiet
  end
  -- whether anything but a redirect to https can happen between matching and proxying
  route.plain = not (
    route.status or route.refused or route.redirect or route.rewrite or route.canaries
    or route.affinity or route.snippet or route.limit_scope or route.auth or route.upstream_host or route.access
    or route.digest_auth or route.trace
    or route.external or route.mirror or route.cors or route.headers
  )
end

-- A prefix takes whole segments: `/foo` stands for `/foo` itself and everything below `/foo/`.
local function add_prefix(self, route)
  local path = route.path
  if byte(path, #path) ~= SLASH then
    if not self.exact[path] then
      self.exact[path] = route
    end
    path = path .. "/"
  end
  if not self.prefixes[path] or route.path == path then
    self.prefixes[path] = route
  end
  self.longest = math.max(self.longest, #path)
  if path == "/" then
    self.root = route
  end
end

-- NGINX sends a request for `/foo` to `/foo/` where only the latter is declared.
local function add_slash_redirects(self)
  for path, route in pairs(self.prefixes) do
    local bare = sub(path, 1, -2)
    if bare ~= "" and not self.exact[bare] then
      self.exact[bare] = route.refused and route or { moved = route }
    end
  end
end

function _M.compile(record)
  local self = setmetatable(record, _M)
  self.exact, self.prefixes, self.patterns, self.longest = {}, {}, {}, 0
  for _, route in ipairs(record.routes or {}) do
    prepare(route, record)
    if route.match == "regex" then
      self.patterns[#self.patterns + 1] = {
        text = "^" .. route.path,
        start = literal_start(route.path),
        literal = lower(route.path),
        route = route,
      }
    elseif route.match == "exact" then
      self.exact[route.path] = route
    end
  end
  for _, route in ipairs(record.routes or {}) do
    if route.match == "prefix" then
      add_prefix(self, route)
    end
  end
  add_slash_redirects(self)
  self.strict = self.guarded or self.closed or self.client ~= nil -- whether it lets everybody in
  -- whether nothing comes before its routes
  self.open = not (self.strict or self.alias_of or self.redirect_to or self.app_root or self.name == "_")
  if not self.strict and not self.regex and not next(self.exact) and self.root and self.longest == 1 then
    self.only = self.root -- one route takes everything: the URI need not be looked at
  end
  record.routes = nil
  return self
end

function _M:release()
  for _, pattern in ipairs(self.patterns) do
    regex.release(pattern.text)
  end
end

local function match_patterns(self, uri)
  local lowered = lower(uri)
  local patterns = self.patterns
  for index = 1, #patterns do
    local pattern = patterns[index]
    local start = pattern.start
    if sub(lowered, 1, #start) == start then
      local matched = regex.matches(pattern.text, uri)
      if matched then
        return pattern.route
      end
      if matched == nil and not regex.valid(pattern.text) then
        matched = pattern.literal == sub(lowered, 1, #pattern.literal) -- what is no pattern stands for itself
        if matched then
          return pattern.route
        end
      end
      if matched == nil then
        return nil, "the pattern " .. pattern.text .. " could not be matched"
      end
    end
  end
  return nil
end

-- The route for a decoded, merged URI; nil when there is none; nil and a reason when a pattern gave up.
function _M:match(uri)
  if self.regex then
    return match_patterns(self, uri)
  end
  local route = self.exact[uri]
  if route then
    return route
  end
  local prefixes = self.prefixes
  local length = #uri
  if length > self.longest then
    length = self.longest
  end
  for position = length, 1, -1 do
    if byte(uri, position) == SLASH then
      route = prefixes[sub(uri, 1, position)]
      if route then
        return route
      end
    end
  end
  return nil
end

return _M
