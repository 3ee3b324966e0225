#!/usr/bin/env bash
# What the default features leave out: the tests of the features `tower`, `auth`, `hickory` and `tls-aws-lc` and the examples in
# their documentation, and what there is without features. (The feature `redis` has a script of its own.)
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --quiet -p squall --features tower --test web tower::
cargo test --quiet -p squall --features tower --doc tower
cargo test --quiet -p squall --features auth --test web auth::
cargo test --quiet -p squall --features auth --lib auth
cargo test --quiet -p squall --features auth --doc auth
cargo test --quiet -p squall --features hickory --test net hickory::
cargo test --quiet -p squall --features hickory --doc hickory
cargo test --quiet -p squall --features tls-aws-lc --test net tls::
cargo test --quiet -p squall --features tls-aws-lc --test client httpclient::
cargo test --quiet -p squall --no-default-features --test client httpclient::
cargo test --quiet -p squall --no-default-features --test net iostream::
