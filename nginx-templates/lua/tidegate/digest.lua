-- Digest authentication (RFC 7616): MD5 and SHA-256, quality of protection `auth`, for users of a file.
--
-- A nonce says when it was made and proves that it was made here, so nothing is kept for whoever does not log in. What
-- is kept, as long as its nonce counts, is each count that a client has used: a message that is sent again is refused.

local ffi = require "ffi"

local bit = require "bit"
local byte, find, format, gsub, lower = string.byte, string.find, string.format, string.gsub, string.lower
local match, sub = string.match, string.sub
local bor, bxor = bit.bor, bit.bxor
local md5, hmac = ngx.md5, ngx.hmac_sha1
local ngx = ngx
local used = ngx.shared.tidegate_digest

ffi.cdef [[
unsigned char *SHA256(const unsigned char *data, size_t count, unsigned char *digest);
]]

local LIFETIME = 60 -- seconds that a nonce counts
local FILES_KEPT = 256

local _M = {}

local folder = ""
local files, file_count = {}, 0
local sha_buffer = ffi.new("unsigned char[32]")

function _M.configure(users_folder)
  folder = users_folder
end

local function hex(bytes)
  return (gsub(bytes, ".", function(letter)
    return format("%02x", byte(letter))
  end))
end

local function sha256(text)
  ffi.C.SHA256(text, #text, sha_buffer)
  return hex(ffi.string(sha_buffer, 32))
end

local HASHES = { MD5 = md5, ["SHA-256"] = sha256 }

-- The users of a file: {hash, algorithm} by name and realm, and which algorithms there are.
local function users_of(name)
  local users = files[name]
  if users then
    return users
  end
  local handle = io.open(folder .. name, "rb")
  if not handle then
    return nil
  end
  users = { algorithms = {} }
  for line in handle:lines() do
    local user, realm, hash = match(line, "^([^:]*):(.*):(%x+)$")
    if user then
      local algorithm = #hash == 64 and "SHA-256" or "MD5"
      users[user .. ":" .. realm] = { lower(hash), algorithm }
      users.algorithms[algorithm] = true
    end
  end
  handle:close()
  if file_count >= FILES_KEPT then
    files, file_count = {}, 0
  end
  files[name], file_count = users, file_count + 1
  return users
end

-- What only these workers know.
local function secret()
  local found = used:get("secret")
  if found then
    return found
  end
  local handle = assert(io.open("/dev/urandom", "rb"))
  local fresh = handle:read(32)
  handle:close()
  used:safe_add("secret", fresh)
  return used:get("secret")
end

local function seal(text)
  return hex(hmac(secret(), text))
end

local serial = 0

local function new_nonce()
  serial = serial + 1
  local text = format("%08x%08x%08x", ngx.time(), ngx.worker.pid(), serial)
  return text .. seal(text)
end

-- The time at which a nonce was made, or nil when it was not made here.
local function made_at(nonce)
  local text, proof = sub(nonce, 1, 24), sub(nonce, 25)
  if #nonce ~= 64 or proof ~= seal(text) then
    return nil
  end
  return tonumber(sub(text, 1, 8), 16)
end

-- The parameters of an Authorization header; nil when it is not of this scheme, is malformed or says something twice.
local function parse(header)
  local start = header and match(header, "^[Dd][Ii][Gg][Ee][Ss][Tt] +()")
  if not start then
    return nil
  end
  local found = {}
  while true do
    local name, place = match(header, "^[%s,]*([%w_*-]+)%s*=%s*()", start)
    if not name then
      return match(header, "^[%s,]*$", start) and found
    end
    name = lower(name)
    local value, behind
    if sub(header, place, place) == '"' then
      value, behind = match(header, '^"([^"\\]*)"()', place)
      if not value then
        local quoted
        quoted, behind = match(header, '^"(.-[^\\])"()', place)
        value = quoted and gsub(quoted, "\\(.)", "%1")
      end
    else
      value, behind = match(header, "^([^%s,]+)()", place)
    end
    if not value or found[name] then
      return nil
    end
    found[name], start = value, behind
  end
end

-- Compares without telling by its time where the texts differ.
local function same(first, second)
  if #first ~= #second then
    return false
  end
  local difference = 0
  for index = 1, #first do
    difference = bor(difference, bxor(byte(first, index), byte(second, index)))
  end
  return difference == 0
end

-- Whether the parameters name the target that is asked for.
local function names_target(uri)
  local target = ngx.var.request_uri
  return uri == target or gsub(uri, "^%a[%w+.-]*://[^/?]*", "", 1) == target
end

-- true, or false and whether the client only has to ask again with a newer nonce.
local function verify(auth)
  local given = parse(ngx.var.http_authorization)
  local users = given and users_of(auth.users)
  if not users then
    return false, false
  end
  local count = given.nc
  if not (given.username and given.response and given.uri and given.cnonce and given.nonce) or given.realm ~= auth.realm
    or given.qop ~= "auth" or not count or #count ~= 8 or find(count, "%X") or not names_target(given.uri) then
    return false, false
  end
  local user = users[given.username .. ":" .. auth.realm]
  local algorithm = given.algorithm or "MD5"
  local hash = HASHES[algorithm]
  if not user or user[2] ~= algorithm then
    return false, false
  end
  local asked = hash(ngx.req.get_method() .. ":" .. given.uri)
  local wanted = hash(user[1] .. ":" .. given.nonce .. ":" .. count .. ":" .. given.cnonce .. ":auth:" .. asked)
  if not same(wanted, lower(given.response)) then
    return false, false
  end
  local made = made_at(given.nonce)
  if not made or ngx.time() - made > LIFETIME then
    return false, true
  end
  local ok, reason = used:safe_add(given.nonce .. lower(count), true, LIFETIME + 1)
  if not ok and reason ~= "exists" then
    ngx.log(ngx.ERR, "digest authentication cannot note what was used: ", reason)
  end
  return ok, true
end

local function challenge(auth, stale)
  local users = users_of(auth.users)
  local algorithms = users and users.algorithms or {}
  local parts, nonce = {}, new_nonce()
  for _, algorithm in ipairs({ "SHA-256", "MD5" }) do
    if algorithms[algorithm] or (algorithm == "MD5" and #parts == 0) then
      parts[#parts + 1] = format(
        'Digest realm="%s", qop="auth", algorithm=%s, nonce="%s"%s',
        auth.realm, algorithm, nonce, stale and ", stale=true" or ""
      )
    end
  end
  ngx.header["WWW-Authenticate"] = table.concat(parts, ", ")
end

-- Whether the request proves that its user knows the password; where not, the answer will say how to.
function _M.passes(auth)
  local ok, stale = verify(auth)
  if not ok then
    challenge(auth, stale)
  end
  return ok
end

return _M
