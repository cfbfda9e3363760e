#!/usr/bin/env bash
# Make a local stand-in for Lambda's python3.13 image, where the real one cannot be pulled: bash tests/lambda/image.sh NAME
# Debian's Python 3.13 with the runtime interface client and boto3 under /var/runtime, as Lambda has them, and the tools
# that the science tests compare with. It is imported under NAME, and made anew only when its recipe has changed.
# Needs root, mmdebstrap, a Docker daemon, Debian's mirror (the one in this machine's apt sources) and pip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
name=$1
python=${PYTHON:-python3}
packages=python3.13,libstdc++6,ca-certificates,source-extractor,fitsverify,libcfitsio-bin
requirements=../../requirements/lambda.txt

recipe=$(cat image.sh bootstrap "$requirements" | sha256sum | cut -c -16)
if [[ $(docker image inspect --format '{{index .Config.Labels "skyfan.recipe"}}' "$name" 2>/dev/null) == "$recipe" ]]; then
  echo "$name is made already"
  exit
fi

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/\?$')
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage/var/runtime" "$stage/var/task" "$stage/opt"
"$python" -m pip install -qqq --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
  --python-version 3.13 --platform manylinux2014_x86_64 --target "$stage/var/runtime" --requirement "$requirements"
install -m 755 bootstrap "$stage/var/runtime/bootstrap"
# Documentation is left out for speed; the runtime's modules are compiled, as Lambda's are.
mmdebstrap --quiet --mode=root --variant=essential --include="$packages" \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook="copy-in '$stage/var' '$stage/opt' /" \
  --customize-hook='rm -f "$1/etc/python3.13/sitecustomize.py"' \
  --customize-hook='chroot "$1" python3.13 -m compileall -q /var/runtime' \
  trixie - "$mirror" |
  docker import --change "LABEL skyfan.recipe=$recipe" --change 'WORKDIR /var/task' \
    --change 'ENV LANG=en_US.UTF-8 LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime PATH=/usr/local/bin:/usr/bin:/bin' \
    - "$name"
