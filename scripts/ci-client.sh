#!/usr/bin/env bash
# squall's HTTP client against servers that others wrote: nginx, Apache (Digest), Tornado, squid (a caching proxy, with and
# without credentials), microsocks (SOCKS5, likewise). Installs what is missing from Debian, as root; what cannot be had is
# skipped, and said so.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

# need COMMAND PACKAGE: installs it without starting its services; fails if that cannot be done.
need() {
  command -v "$1" >/dev/null && return
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return
  [ -n "${updated:-}" ] || { timeout 120 apt-get update -qq || true; updated=1; }
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive timeout 300 \
    apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1 || true
  command -v "$1" >/dev/null
}

PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d)
chmod 755 "$work"
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  # One that does not listen to SIGTERM would hold this up for ever.
  for _ in $(seq 50); do
    [ -n "$(jobs -pr)" ] || break
    sleep 0.1
  done
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$work"
}
trap finish EXIT

# run NAME PORT COMMAND...: in the background, until it listens.
run() {
  local name=$1 port=$2
  "${@:3}" >"$work/$name.log" 2>&1 &
  pids+=($!)
  listens "$port" && return
  echo "FAILED: $name does not listen on port $port" >&2
  cat "$work/$name.log" >&2
  exit 1
}

skipped() { echo "SKIPPED: $1 cannot be installed" >&2; }

mkdir "$work/root" "$work/root/gz" "$work/root/basic" "$work/tmp"
printf 'small\n' >"$work/root/small.txt"
cp "$work/root/small.txt" "$work/root/basic/in.txt"
head -c 5000000 /dev/zero | tr '\0' 'x' >"$work/root/large.bin"
head -c 100000 /dev/zero | tr '\0' 'y' >"$work/root/gz/page.html"
chmod -R a+rX "$work/root"
# User Ann, password "open: sesame".
hash=$(openssl passwd -apr1 'open: sesame' 2>/dev/null || true)
echo "Ann:$hash" >"$work/users"

start_nginx() {
  local port
  port=$(free_port)
  cat >"$work/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $work/nginx.pid; error_log stderr;
events { worker_connections 512; }
http {
  access_log off; sendfile on; types { text/html html; text/plain txt; } default_type application/octet-stream;
  client_body_temp_path $work/tmp; proxy_temp_path $work/tmp; fastcgi_temp_path $work/tmp;
  uwsgi_temp_path $work/tmp; scgi_temp_path $work/tmp;
  server {
    listen 127.0.0.1:$port; root $work/root;
    keepalive_requests 5; keepalive_timeout 300ms; client_max_body_size 1k; if_modified_since before;
    location / { add_header Cache-Control "max-age=60"; }
    location /gz/ { gzip on; gzip_min_length 1; }
    location /basic/ { auth_basic "nginx"; auth_basic_user_file $work/users; }
    location /moved/ { return 302 /small.txt; }
    location /slow/ { limit_rate 1k; root $work/root; rewrite ^ /large.bin break; }
  }
}
CONF
  run nginx "$port" nginx -p "$work" -c "$work/nginx.conf"
  export SQUALL_NGINX=http://127.0.0.1:$port
}

start_apache() {
  local port modules=/usr/lib/apache2/modules module
  [ -f $modules/mod_auth_digest.so ] || { skipped "Apache's mod_auth_digest"; return; }
  port=$(free_port)
  printf 'Ann:a realm:%s\n' "$(printf 'Ann:a realm:open: sesame' | md5sum | cut -d' ' -f1)" >"$work/digest"
  {
    for module in mpm_event authn_core authn_file authz_core authz_user auth_digest; do
      echo "LoadModule ${module}_module $modules/mod_$module.so"
    done
    cat <<CONF
ServerName localhost
ServerRoot $work
Listen 127.0.0.1:$port
PidFile $work/apache.pid
DefaultRuntimeDir $work
ErrorLog /dev/stderr
DocumentRoot $work/root
User ${SUDO_USER:-nobody}
<Location />
  AuthType Digest
  AuthName "a realm"
  AuthDigestProvider file
  AuthUserFile $work/digest
  Require valid-user
</Location>
CONF
  } >"$work/apache.conf"
  run apache "$port" apache2 -DFOREGROUND -f "$work/apache.conf"
  export SQUALL_APACHE=http://127.0.0.1:$port
}

start_tornado() {
  local port
  port=$(free_port)
  run tornado "$port" "$SQUALL_TORNADO_PYTHON" scripts/client/server.py "$port"
  export SQUALL_TORNADO=http://127.0.0.1:$port
}

start_squid() {
  local open closed
  open=$(free_port)
  while closed=$(free_port); [ "$closed" = "$open" ]; do :; done
  cat >"$work/squid.conf" <<CONF
http_port 127.0.0.1:$open
http_port 127.0.0.1:$closed
visible_hostname localhost
pid_filename none
access_log none
cache_log /dev/stderr
cache_store_log none
coredump_dir $work
cache_mem 16 MB
max_filedescriptors 1024
shutdown_lifetime 0 seconds
pinger_enable off
auth_param basic program /usr/lib/squid/basic_ncsa_auth $work/users
auth_param basic casesensitive on
auth_param basic realm squid
acl known proxy_auth REQUIRED
acl open localport $open
http_access allow open
http_access allow known
http_access deny all
CONF
  run squid "$open" squid -N -f "$work/squid.conf"
  export SQUALL_PROXY=http://127.0.0.1:$open SQUALL_PROXY_AUTH=http://127.0.0.1:$closed
}

start_socks() {
  local open closed
  open=$(free_port)
  run socks "$open" microsocks -i 127.0.0.1 -p "$open"
  closed=$(free_port)
  run socks-auth "$closed" microsocks -i 127.0.0.1 -p "$closed" -u Ann -P 'open: sesame'
  export SQUALL_SOCKS=socks5://127.0.0.1:$open SQUALL_SOCKS_AUTH=socks5://127.0.0.1:$closed
}

unset SQUALL_NGINX SQUALL_APACHE SQUALL_TORNADO SQUALL_PROXY SQUALL_PROXY_AUTH SQUALL_SOCKS SQUALL_SOCKS_AUTH
if need nginx nginx; then start_nginx; else skipped nginx; fi
if need apache2 apache2-bin; then start_apache; else skipped Apache; fi
if need squid squid; then start_squid; else skipped squid; fi
if need microsocks microsocks; then start_socks; else skipped microsocks; fi
# Ends the script when there is no Tornado, so it is looked for by itself first.
python=$(. scripts/tornado-venv.sh >/dev/null && echo "$SQUALL_TORNADO_PYTHON")
if [ -n "$python" ]; then
  SQUALL_TORNADO_PYTHON=$python start_tornado
else
  skipped Tornado
fi
timeout -k 10 900 cargo test --quiet -p squall --test client servers:: -- --ignored --nocapture
