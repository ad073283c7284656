#!/bin/sh
# Removes from node_modules what this machine can never load: native code for other systems, sources, types and maps.
set -eu
architecture=$(node -p process.arch)

for folder in node_modules/onnxruntime-node/bin/napi-v*/*; do
  [ "$(basename "$folder")" = linux ] || rm -rf "$folder"
done
for folder in node_modules/onnxruntime-node/bin/napi-v*/linux/*; do
  [ "$(basename "$folder")" = "$architecture" ] || rm -rf "$folder"
done
# A client brings the compiler along as its peer.
rm -rf node_modules/typescript node_modules/@typescript
# Debian's C library is glibc.
rm -rf node_modules/@img/*linuxmusl* node_modules/@lancedb/*-musl

if [ "${EMBEDDED:-true}" = false ]; then
  rm -rf node_modules/chdb node_modules/@chdb node_modules/@lancedb node_modules/apache-arrow
fi

find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete
