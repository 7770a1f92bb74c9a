-- Authentication by another service: what is done in the request that NGINX makes beside the client's to ask it.
--
-- Both requests share their variables. `$tidegate_asker` leads from the question to the context of the client's
-- request, whose `asking` holds what was found out: `question` is the key of the question's context, `cookies` what the
-- service wants to give the client.

local answer_cache = require "tidegate.answer_cache"
local contexts = require "tidegate.context"
local expression = require "tidegate.expression"
local store = require "tidegate.store"

local format, sub = string.format, string.sub
local tonumber, type = tonumber, type
local response = require "ngx.resp"
local ngx = ngx

-- Answers that a cookie of the service is added to without being asked for it always (as NGINX's add_header has it).
local WITH_COOKIE = {
  [200] = true, [201] = true, [204] = true, [206] = true, [301] = true, [302] = true, [303] = true, [304] = true,
  [307] = true, [308] = true,
}

local _M = {}

-- To be run in the rewrite phase of a request to a route that asks: `$uri` and the like are the client's there.
function _M.announce(context, external)
  local var = ngx.var
  context.asking = { key = external.cache_scope and answer_cache.key(external) }
  var.tidegate_asker = format("%d", contexts.key())
  var.tidegate_auth_uri = expression.text(external.uri)
  var.tidegate_auth_host = external.host
  var.tidegate_auth_redirect = external.redirect and expression.text(external.redirect) or var.request_uri
  if external.method then
    var.tidegate_auth_method = external.method
    var.tidegate_auth_original_uri = var.request_uri
    var.tidegate_auth_scheme = var.pass_access_scheme
  else
    var.tidegate_auth_method = "GET"
  end
end

-- What the backend gets of the service's answer.
local function hand_over(values)
  local var = ngx.var
  for index = 1, #values do
    var["tidegate_answer_" .. index] = values[index]
  end
end

-- Answers the question with what is known already. Returns true when it is answered.
local function recall(context, key)
  local known = key and answer_cache.get(key)
  if not known then
    return false
  end
  context.asking.known = true
  hand_over(known.values)
  if known.challenge then
    ngx.header["WWW-Authenticate"] = known.challenge
  end
  ngx.status = known.status
  ngx.exit(known.status)
  return true
end

-- To be run in the rewrite phase of the question.
function _M.ask()
  local asker = contexts.find(tonumber(ngx.var.tidegate_asker))
  local external = asker.route.external
  local context = contexts.new()
  asker.asking.question = contexts.key()
  context.asking = { asker = asker }
  if recall(context, asker.asking.key) then
    return
  end
  local backend = store.backend(external.backend)
  if not backend or backend.count == 0 then
    ngx.log(ngx.ERR, "the authentication service ", external.host, " has no address")
    return ngx.exit(503)
  end
  context.backend = backend
end

-- To be run in the header filter of the question: its answer is there.
function _M.take()
  local context = contexts.get()
  local asking = context and context.asking
  if not asking or asking.known or not context.backend then
    return
  end
  local asker = asking.asker
  local external = asker.route.external
  local status, variables, values = ngx.status, external.variables, {}
  for index = 1, #variables do
    values[index] = ngx.var[variables[index]] or ""
  end
  local granted = status >= 200 and status < 300
  if granted then
    hand_over(values)
  end
  local cookies = ngx.header["Set-Cookie"]
  asker.asking.cookies = cookies
  if asker.asking.key and not cookies and (granted or status == 401 or status == 403) then
    answer_cache.put(asker.asking.key, external, status, values)
  end
end

-- Gives the client the cookies of the service, beside those of the backend.
function _M.add_cookies(route, asking)
  local cookies = asking.cookies
  if not cookies or not (WITH_COOKIE[ngx.status] or route.external.always_set_cookie) then
    return
  end
  if type(cookies) == "string" then
    response.add_header("Set-Cookie", cookies)
    return
  end
  for index = 1, #cookies do
    response.add_header("Set-Cookie", cookies[index])
  end
end

-- To be run in the rewrite phase of the location that a 401 leads to.
function _M.sign_in()
  local context = contexts.get()
  local external = context and context.route and context.route.external
  if not external or not external.signin then
    return ngx.exit(401)
  end
  local location = expression.text(external.signin)
  if sub(location, 1, 1) == "/" then
    location = ngx.var.scheme .. "://" .. ngx.var.host .. location
  end
  ngx.header["WWW-Authenticate"] = nil
  ngx.header["Location"] = location
  return ngx.exit(302)
end

return _M
