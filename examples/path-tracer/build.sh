#!/bin/sh
# Builds path-tracer.wasm. Needs Debian 12's clang, lld, wasi-libc and libclang-rt-dev-wasm32; with these the result is the
# same byte for byte, as path-tracer.wasm.sha256 says.
#
#   ./build.sh           build and write the checksum
#   ./build.sh --check   build elsewhere and compare with what is committed; nothing to do without the toolchain
set -eu
cd "$(dirname "$0")"

compile() {
  clang --target=wasm32-wasi -O2 -msimd128 -ffast-math -Wall -Wextra -Werror -Wl,--strip-all -o "$1" path-tracer.c -lm
}

if [ "${1:-}" = --check ]; then
  if ! command -v clang >/dev/null || ! command -v wasm-ld >/dev/null; then
    echo "no clang or wasm-ld: not checked"
    exit 0
  fi
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  compile "$folder/path-tracer.wasm"
  (cd "$folder" && sha256sum -c "$OLDPWD/path-tracer.wasm.sha256")
  exit
fi
compile path-tracer.wasm
chmod -x path-tracer.wasm
sha256sum path-tracer.wasm >path-tracer.wasm.sha256
