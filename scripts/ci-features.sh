#!/usr/bin/env bash
# What the default features leave out: the tests of the features `tower`, `auth`, `hickory` and `tls-aws-lc` and the examples in
# their documentation; and what there is without them: each feature alone, none, and pairs that know of each other, without a
# warning. (The feature `redis` has a script of its own.)
set -euo pipefail
cd "$(dirname "$0")/.."

# The names that the manifest has, so that no feature can be forgotten.
features=$(sed -n '/^\[features\]/,/^\[dependencies\]/s/^\([a-z0-9-]*\) = .*/\1/p' crates/squall/Cargo.toml | grep -v '^default$')
[ "$(wc -l <<<"$features")" -ge 12 ]
# The compiler's lints. Clippy has seen everything with all features; what is left of a function without some may be less than
# it thinks one should be.
lints=(-A clippy::all -A clippy::pedantic -D warnings)
for chosen in "" $features client,compression client,http2 client,tls client,websocket http2,tls templates,client templates,websocket \
  tls,websocket tower,http2; do
  echo "--- features: ${chosen:-none}"
  cargo clippy --quiet -p squall --no-default-features --features "$chosen" -- "${lints[@]}"
done
for chosen in "" client client,websocket; do
  echo "--- tests with the features: ${chosen:-none}"
  cargo clippy --quiet -p squall --no-default-features --features "$chosen" --all-targets -- "${lints[@]}"
done

# One build for those that do not know of each other.
cargo test --quiet -p squall --features auth,hickory,tower --lib --test web --test net -- auth:: hickory:: tower::
cargo test --quiet -p squall --features auth,hickory,tower --doc -- auth hickory tower
cargo test --quiet -p squall --features tls-aws-lc --test net --test client -- tls:: httpclient::
cargo test --quiet -p squall --no-default-features --features client --lib --test client -- httpclient::
cargo test --quiet -p squall --no-default-features --lib --test net --test wire --test toolbox
