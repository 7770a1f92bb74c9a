-- What OpenSSL knows of the handshake under way and `ngx.ssl` does not tell. To be asked in the certificate phase, when
-- the client's hello has been read.

local base = require "resty.core.base"
local ffi = require "ffi"

local find = string.find
local C = ffi.C

ffi.cdef [[
void *ngx_http_lua_ffi_get_req_ssl_pointer(void *request);
int SSL_version(const void *handshake);
int SSL_check_chain(void *handshake, void *certificate, void *key, void *chain);
char *SSL_get_shared_ciphers(const void *handshake, char *buffer, int size);
long SSL_ctrl(void *handshake, int command, long argument, void *);
int SSL_get_fd(const void *handshake);
int EVP_PKEY_get_base_id(const void *key);
void ERR_clear_error(void);
long write(int descriptor, const void *bytes, size_t size);
]]

local TLS_1_3 = 0x0304
local USABLE, SIGNS = 0x1, 0x2 -- CERT_PKEY_VALID, CERT_PKEY_SIGN
local GET_SHARED_GROUP, HOW_MANY = 93, -1
local IN_NAMES = { [408] = "ECDSA", [6] = "RSA" } -- of ciphers, by kind of key
local PREFERRED = 408
-- A fatal alert, as a record of its own (RFC 8446 6 and 5.1). Nothing is encrypted yet.
local UNRECOGNIZED_NAME = "\21\3\3\0\2\2\112"

local names = ffi.new "char[4096]"

local _M = {}

local function handshake()
  local request = base.get_request()
  local found = request and C.ngx_http_lua_ffi_get_req_ssl_pointer(request)
  return found ~= nil and found or nil
end

-- Whether the client can be shown this certificate, whatever other one there may be.
local function suits(current, certificate, key, kind)
  local verdict = C.SSL_check_chain(current, certificate, key, nil)
  if bit.band(verdict, USABLE + SIGNS) ~= USABLE + SIGNS then
    return false
  end
  if C.SSL_version(current) == TLS_1_3 then
    return true
  end
  local shared = C.SSL_get_shared_ciphers(current, names, 4096)
  return shared ~= nil
    and find(ffi.string(shared), IN_NAMES[kind], 1, true) ~= nil
    and C.SSL_ctrl(current, GET_SHARED_GROUP, HOW_MANY, nil) > 0
end

-- Of an ECDSA and an RSA pair the one that suits the client, ECDSA before RSA; nil if that is not certain. `pairs_of`
-- are rows of {…, key, …, parsed pair} as `certificates` keeps them.
function _M.suitable(pairs_of)
  local current = not pairs_of[3] and handshake()
  if not current then
    return nil
  end
  local first, second = pairs_of[1], pairs_of[2]
  local kind, other = C.EVP_PKEY_get_base_id(first[2]), C.EVP_PKEY_get_base_id(second[2])
  if kind == other or not (IN_NAMES[kind] and IN_NAMES[other]) then
    return nil
  end
  if kind ~= PREFERRED then
    first, second, kind, other = second, first, other, kind
  end
  local found = suits(current, first[5].certificates[1], first[2], kind) and first
    or suits(current, second[5].certificates[1], second[2], other) and second
    or nil
  C.ERR_clear_error() -- else NGINX would take what did not suit for an error of the handshake
  return found
end

-- Tells the client that nobody here has the name which it asks for: of itself OpenSSL would speak of an internal error.
function _M.refuse_name()
  local current = handshake()
  local descriptor = current and C.SSL_get_fd(current) or -1
  if descriptor >= 0 then -- QUIC has none
    C.write(descriptor, UNRECOGNIZED_NAME, #UNRECOGNIZED_NAME)
  end
end

return _M
