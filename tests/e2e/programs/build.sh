#!/bin/sh
# Rebuilds the test programs. Needs Debian's clang, lld, wasi-libc and libclang-rt-dev-wasm32.
set -eu
cd "$(dirname "$0")"
clang --target=wasm32-wasi -O2 -Wall -Werror -Wl,--strip-all -o wait-for-file.wasm wait-for-file.c
chmod -x wait-for-file.wasm
