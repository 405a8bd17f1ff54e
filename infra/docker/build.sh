#!/usr/bin/env bash
# Builds every image on this machine: ours, and the servers from the programs that `make servers` builds (or PATH has).
# BUILD_NETWORK=host where containers cannot reach a package index on their own; PYTHON names another base image.
set -euo pipefail
cd "$(dirname "$0")/../.."

build() { # NAME DOCKERFILE CONTEXT [OPTION...]
  echo "== localhost/enlarger-$1"
  docker build --quiet --network "${BUILD_NETWORK:-default}" ${PYTHON:+--build-arg "PYTHON=$PYTHON"} "${@:4}" \
    --tag "localhost/enlarger-$1" --file "$2" "$3"
}

for service in ingest processors notifier api; do
  build "$service" infra/docker/service.Dockerfile . --build-arg "SERVICE=$service"
done
build infra infra/docker/infra.Dockerfile .

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
env -u ENLARGER_MINIO_URL -u ENLARGER_NATS_URL python3 -m infra.binaries | tee "$context/programs"
for name in minio nats; do
  install "$(sed -n "s/^$name: //p" "$context/programs")" "$context/$name"
done
install -m 0644 infra/healthy.py infra/docker/local/secantusdb.py requirements/local.txt "$context"
for server in minio nats secantusdb; do
  build "$server" "infra/docker/local/$server.Dockerfile" "$context"
done
