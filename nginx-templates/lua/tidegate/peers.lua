-- Who the client is where both the PROXY protocol and forwarded headers are believed: the peer names a source in its
-- PROXY line, and that source, if it is trusted too, the one before it in a header. NGINX's own module looks at one of
-- the two only. So the answer is found here, before anything is decided, and handed to that module in a header which
-- it reads in the locations of policies, behind this phase: what a client writes into that header is gone by then.

local networks = require "tidegate.networks"

local gmatch, match = string.gmatch, string.match
local ngx = ngx

local _M = {}

local trusted, chain_header, answer_header
local current -- the binary address of the request that is being looked at; nil where NGINX knows best

-- `given`: {trusted (networks), chain, answer (names of headers)}.
function _M.configure(given)
  trusted, chain_header, answer_header = networks.compile(given.trusted), given.chain, given.answer
end

-- An element of a chain without blanks, brackets and port.
local function bare(text)
  text = match(text, "^%s*(.-)%s*$")
  return match(text, "^%[(.-)%]:?%d*$") or match(text, "^([%d.]+):%d+$") or text
end

-- The last address of a chain that nobody trusted has vouched for, as text and binary. `source` is vouched for by the
-- peer; `chain` is the header's text or nil.
function _M.resolve(networks_trusted, source, chain)
  local client, binary = source, networks.binary(source)
  local elements = {}
  for element in gmatch(chain or "", "[^,]+") do
    elements[#elements + 1] = bare(element)
  end
  for index = #elements, 1, -1 do
    local next_binary = networks.binary(elements[index])
    if not next_binary or not networks.contains(networks_trusted, binary) then
      break
    end
    client, binary = elements[index], next_binary
  end
  return client, binary
end

local function chain()
  local found = ngx.req.get_headers(0)[chain_header]
  return type(found) == "table" and table.concat(found, ",") or found
end

-- `remote_addr` itself must not be asked for yet: NGINX would remember the answer.
local function settle()
  local var = ngx.var
  local client, source = var.realip_remote_addr, var.proxy_protocol_addr
  current = networks.binary(client)
  if not current then -- a Unix socket: the listener before this one has settled it
    return
  end
  if trusted and source and networks.binary(source) and networks.contains(trusted, current) then
    client, current = _M.resolve(trusted, source, chain())
  end
  ngx.req.set_header(answer_header, client)
end

-- The rewrite phase with this before it.
function _M.before(rewrite)
  return function()
    settle()
    return rewrite()
  end
end

-- The client's binary address in the rewrite phase.
function _M.address()
  return current or ngx.var.binary_remote_addr
end

return _M
