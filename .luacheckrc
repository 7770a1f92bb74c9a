-- The Lua that runs inside NGINX.
std = "ngx_lua"
max_line_length = 120
unused_args = false
files["**/*_test.lua"] = {std = "luajit"}
