#!/usr/bin/env bash
# Make a folder for ONNXRUNTIME_ROOT: include/ with the headers of Debian trixie's libonnxruntime-dev, lib/ with the
# library of the onnxruntime wheel of an interpreter. A release of ONNX Runtime for C++ has both already.
#
#   cpp/tools/onnxruntime_root.sh FOLDER PYTHON
set -euo pipefail
folder=$(realpath -m "$1") python=$2
[ -f "$folder/include/onnxruntime_cxx_api.h" ] && [ -e "$folder/lib/libonnxruntime.so" ] && exit 0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/{lists,archives}/partial "$folder"/{include,lib}
touch "$scratch/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" > "$scratch/sources.list"
cat > "$scratch/apt.conf" <<CONF
Dir::State::lists "$scratch/lists";
Dir::State::status "$scratch/status";
Dir::Cache::archives "$scratch/archives";
Dir::Etc::sourcelist "$scratch/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
CONF
apt-get -qq -c "$scratch/apt.conf" update
(cd "$scratch" && apt-get -qq -c apt.conf download libonnxruntime-dev && dpkg-deb -x libonnxruntime-dev_*.deb unpacked)
cp "$scratch"/unpacked/usr/include/onnxruntime/*.h "$folder/include/"
library=$("$python" -c 'import pathlib, onnxruntime; print(next((pathlib.Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.1*")))')
for name in libonnxruntime.so libonnxruntime.so.1; do ln -sfn "$library" "$folder/lib/$name"; done
