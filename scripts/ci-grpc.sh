#!/usr/bin/env bash
# gRPC: a tonic service mounted on squall, asked by tonic's client (interop/grpc, a workspace of its own). Every kind of
# call, in clear text and over TLS.
set -euo pipefail
cd "$(dirname "$0")/../interop/grpc"

cargo run --quiet --locked
