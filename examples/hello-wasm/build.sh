#!/bin/sh
# Rebuilds hello.wasm. Needs Debian's clang, lld, wasi-libc and libclang-rt-dev-wasm32.
set -eu
cd "$(dirname "$0")"
clang --target=wasm32-wasi -O2 -Wall -Werror -Wl,--strip-all -o hello.wasm hello.c
chmod -x hello.wasm
