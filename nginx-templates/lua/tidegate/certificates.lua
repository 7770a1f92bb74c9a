-- Certificates by SNI, from data. Parsed pairs are kept, up to a bound; the default certificate is NGINX's own.

local handshake = require "tidegate.handshake"
local keypair = require "tidegate.keypair"
local ocsp = require "ngx.ocsp"
local ssl = require "ngx.ssl"
local store = require "tidegate.store"

local find, sub, lower, gsub = string.find, string.sub, string.lower, string.gsub
local ipairs = ipairs
local ngx = ngx

local RECORD_COST = 700 -- bytes for a name whose pairs others have too

local kept = store.certificates
local _M = {}

local reject_unknown = false

function _M.configure(given)
  reject_unknown = given.reject_unknown
  kept.most = given.kept
end

local function parse(record)
  local pairs_of, costs = {}, RECORD_COST
  for index, pair in ipairs(record.pairs) do
    local parsed, cost = keypair.parse(pair.chain, pair.key)
    if not parsed then
      ngx.log(ngx.ERR, "certificate ", record.name, ": ", cost)
      return nil
    end
    local staple = pair.staple and ngx.decode_base64(pair.staple)
    pairs_of[index] = { parsed.chain, parsed.key, staple, pair.staple_until, parsed }
    costs = costs + cost + (staple and #staple or 0)
    pairs_of.stapled = pairs_of.stapled or staple ~= nil
  end
  return pairs_of[1] and pairs_of, costs
end

local function lookup(name)
  local parsed = kept:get(name)
  if parsed then
    return parsed
  end
  local record = store.certificate_record(name)
  if not record then
    return nil
  end
  local cost
  parsed, cost = parse(record)
  if parsed then
    kept:set(name, parsed, cost)
  end
  return parsed
end

local function plain(asked)
  return (gsub(lower(asked), "%.$", ""))
end

local function by_name(asked)
  local found = kept:get(asked) -- as nearly all clients write it
  if found then
    return found
  end
  local name = plain(asked)
  found = lookup(name)
  if not found then
    local dot = find(name, ".", 1, true)
    found = dot and lookup("*" .. sub(name, dot))
  end
  return found
end

-- Whether a host of that name is served, which may have no certificate of its own.
local function served(asked)
  local name = plain(asked)
  return name ~= "_" and (store.host(name) or store.wildcard(name) or store.by_pattern(name))
end

-- The only pair that the client is to be shown, or nil. Of several OpenSSL chooses later, and then it is too late to
-- staple an OCSP answer: where there is one, the choice is made here.
local function only(pairs_of)
  if not pairs_of[2] then
    return pairs_of[1]
  end
  return pairs_of.stapled and handshake.suitable(pairs_of)
end

local function staple(pair)
  if pair[3] and pair[4] > ngx.time() then
    local ok, reason = ocsp.set_ocsp_status_resp(pair[3])
    if not ok then
      ngx.log(ngx.ERR, "OCSP answer: ", reason)
    end
  end
end

local function show(pair)
  local ok, reason = ssl.set_cert(pair[1])
  if ok then
    ok, reason = ssl.set_priv_key(pair[2])
  end
  if not ok then
    ngx.log(ngx.ERR, "certificate for ", ssl.server_name() or "no name", ": ", reason)
    return ngx.exit(ngx.ERROR)
  end
end

-- To be run at each handshake.
function _M.choose()
  store.sync()
  local name = ssl.server_name()
  local chosen = name and by_name(name)
  if not chosen and reject_unknown and not (name and served(name)) then
    handshake.refuse_name()
    return ngx.exit(ngx.ERROR)
  end
  chosen = chosen or lookup("_")
  if not chosen then
    return
  end
  ssl.clear_certs()
  local pair = only(chosen)
  if pair then
    staple(pair)
    return show(pair)
  end
  for index = 1, #chosen do
    show(chosen[index])
  end
end

return _M
