-- Certificates by SNI, from data. Parsed pairs are kept, up to a bound; the default certificate is NGINX's own.

local ffi = require "ffi"
local ocsp = require "ngx.ocsp"
local ssl = require "ngx.ssl"
local store = require "tidegate.store"

local find, sub, lower, gsub = string.find, string.sub, string.lower, string.gsub
local C = ffi.C
local ngx = ngx

ffi.cdef [[
void *OPENSSL_sk_value(const void *stack, int index);
int X509_check_private_key(const void *certificate, const void *key);
void ERR_clear_error(void);
]]

local half_kept = 1000

local _M = {}

local reject_unknown = false

function _M.configure(given)
  reject_unknown = given.reject_unknown
  half_kept = math.ceil(given.kept / 2)
end

local function parse_pair(pair)
  local chain, reason = ssl.parse_pem_cert(pair.chain)
  if not chain then
    return nil, reason
  end
  local key
  key, reason = ssl.parse_pem_priv_key(pair.key)
  if not key then
    return nil, reason
  end
  if C.X509_check_private_key(C.OPENSSL_sk_value(chain, 0), key) ~= 1 then
    C.ERR_clear_error() -- else NGINX would take it for one of the handshake
    return nil, "its key belongs to another certificate"
  end
  return { chain, key, pair.staple and ngx.decode_base64(pair.staple), pair.staple_until }
end

local function parse(record)
  local pairs_of = {}
  for index, pair in ipairs(record.pairs) do
    local parsed, reason = parse_pair(pair)
    if not parsed then
      ngx.log(ngx.ERR, "certificate ", record.name, ": ", reason)
      return nil
    end
    pairs_of[index] = parsed
  end
  return pairs_of[1] and pairs_of
end

local function lookup(name)
  local parsed = store.certificates[name]
  if parsed then
    return parsed
  end
  parsed = store.older_certificates[name]
  if not parsed then
    local record = store.certificate_record(name)
    parsed = record and parse(record)
  end
  if parsed then -- what is asked for moves to the young half; when that is full the old one goes
    if store.certificate_count >= half_kept then
      store.older_certificates, store.certificates, store.certificate_count = store.certificates, {}, 0
    end
    store.certificates[name] = parsed
    store.certificate_count = store.certificate_count + 1
  end
  return parsed
end

local function by_name(name)
  name = gsub(lower(name), "%.$", "")
  local found = lookup(name)
  if not found then
    local dot = find(name, ".", 1, true)
    found = dot and lookup("*" .. sub(name, dot))
  end
  return found
end

-- Staples the OCSP answer of the only pair. Of several it is not known yet which one will be shown.
local function staple(pairs_of)
  local pair = pairs_of[1]
  if pair[3] and not pairs_of[2] and pair[4] > ngx.time() then
    local ok, reason = ocsp.set_ocsp_status_resp(pair[3])
    if not ok then
      ngx.log(ngx.ERR, "OCSP answer: ", reason)
    end
  end
end

-- To be run at each handshake.
function _M.choose()
  store.sync()
  local name = ssl.server_name()
  local chosen = name and by_name(name)
  if not chosen and reject_unknown then
    return ngx.exit(ngx.ERROR)
  end
  chosen = chosen or lookup("_")
  if not chosen then
    return
  end
  ssl.clear_certs()
  for _, pair in ipairs(chosen) do
    local ok, reason = ssl.set_cert(pair[1])
    if ok then
      ok, reason = ssl.set_priv_key(pair[2])
    end
    if not ok then
      ngx.log(ngx.ERR, "certificate for ", name or "no name", ": ", reason)
      return ngx.exit(ngx.ERROR)
    end
  end
  staple(chosen)
end

return _M
