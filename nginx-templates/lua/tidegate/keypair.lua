-- A certificate's PEM texts as OpenSSL's objects, and about what these cost in memory.

local ffi = require "ffi"

local find, gmatch, gsub = string.find, string.gmatch, string.gsub
local C = ffi.C
local ngx = ngx

ffi.cdef [[
void *d2i_X509(void *, const unsigned char **from, long length);
void X509_free(void *certificate);
int X509_up_ref(void *certificate);
void *X509_get0_pubkey(const void *certificate);
int X509_check_private_key(const void *certificate, const void *key);
int EVP_PKEY_get_base_id(const void *key);
void *d2i_PrivateKey(int kind, void *, const unsigned char **from, long length);
void EVP_PKEY_free(void *key);
void *OPENSSL_sk_new_null(void);
int OPENSSL_sk_push(void *stack, const void *item);
void ngx_http_lua_ffi_free_cert(void *stack);
void ERR_clear_error(void);
]]

-- Measured with OpenSSL 3.0, keys of 256 to 4096 bits, once used: objects are much larger than their DER.
local PAIR_COST, CERTIFICATE_COST, CERTIFICATE_FACTOR, KEY_FACTOR = 3500, 4000, 2, 3

local _M = {}

local by_digest = setmetatable({}, { __mode = "v" }) -- hosts share pairs, pairs share intermediate certificates
local from = ffi.new "const unsigned char *[1]"

local function der_of(pem)
  return ngx.decode_base64((gsub(pem, "%s", "")))
end

-- Returns the certificate and what it costs, or nil and a reason.
local function certificate(pem)
  local der = der_of(pem)
  from[0] = der
  local found = der and C.d2i_X509(nil, from, #der)
  if not found or found == nil then
    return nil, "a certificate in it cannot be read"
  end
  return ffi.gc(found, C.X509_free), CERTIFICATE_COST + CERTIFICATE_FACTOR * #der
end

-- The same for one that many chains may share.
local function intermediate(pem)
  local digest = ngx.sha1_bin(pem)
  local known = by_digest[digest]
  if known then
    return known, 0
  end
  local found, cost = certificate(pem)
  by_digest[digest] = found
  return found, cost
end

local function chain_of(text)
  local certificates, costs = {}, 0
  for pem in gmatch(text, "%-%-BEGIN CERTIFICATE%-%-%-%-%-(.-)%-%-%-%-%-END CERTIFICATE%-%-") do
    local found, cost = (certificates[1] and intermediate or certificate)(pem)
    if not found then
      return nil, cost
    end
    certificates[#certificates + 1], costs = found, costs + cost
  end
  if not certificates[1] then
    return nil, "there is no certificate in it"
  end
  return certificates, costs
end

local function stack_of(certificates)
  local stack = ffi.gc(C.OPENSSL_sk_new_null(), C.ngx_http_lua_ffi_free_cert)
  for _, item in ipairs(certificates) do
    C.X509_up_ref(item)
    C.OPENSSL_sk_push(stack, item)
  end
  return stack
end

-- OpenSSL is told which kind of key it is: to find that out takes it three times as long.
local function key_of(text, leaf)
  local _, _, pem = find(text, "%-%-BEGIN [%u ]-PRIVATE KEY%-%-%-%-%-(.-)%-%-%-%-%-END [%u ]-PRIVATE KEY%-%-")
  local der = pem and der_of(pem)
  if not der then
    return nil, "there is no key in it"
  end
  local public = C.X509_get0_pubkey(leaf)
  from[0] = der
  local found = public ~= nil and C.d2i_PrivateKey(C.EVP_PKEY_get_base_id(public), nil, from, #der)
  if not found or found == nil then
    return nil, "its key cannot be read, or is of another kind than the certificate's"
  end
  found = ffi.gc(found, C.EVP_PKEY_free)
  if C.X509_check_private_key(leaf, found) ~= 1 then
    return nil, "its key belongs to another certificate"
  end
  return found, KEY_FACTOR * #der
end

local function parse(chain, key)
  local certificates, costs = chain_of(chain)
  if not certificates then
    return nil, costs
  end
  local private, cost = key_of(key, certificates[1])
  if not private then
    return nil, cost
  end
  return { chain = stack_of(certificates), key = private, certificates = certificates }, PAIR_COST + costs + cost
end

-- Returns {chain, key} for `ngx.ssl` and the bytes that it costs if it was not there before; or nil and a reason.
function _M.parse(chain, key)
  local digest = ngx.sha1_bin(chain .. key)
  local known = by_digest[digest]
  if known then
    return known, 0
  end
  local pair, cost = parse(chain, key)
  if not pair then
    C.ERR_clear_error() -- else NGINX would take it for one of the handshake
    return nil, cost
  end
  by_digest[digest] = pair
  return pair, cost
end

return _M
