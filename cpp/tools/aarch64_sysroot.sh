#!/usr/bin/env bash
# Make a folder with the arm64 libraries that the aarch64 preset builds against and runs its tests with: Debian's
# packages of this machine's release, unpacked and not installed, and ONNX Runtime's wheel for aarch64 in onnxruntime/.
#
#   cpp/tools/aarch64_sysroot.sh FOLDER PYTHON
#   cmake -S cpp --preset aarch64 -DEDGEKIT_SYSROOT=FOLDER -DONNXRUNTIME_ROOT=FOLDER/onnxruntime
set -euo pipefail
folder=$(realpath -m "$1") python=$2
here=$(dirname "$(realpath "$0")")
[ -e "$folder/.complete" ] && exit 0
. /etc/os-release
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/{lists,archives}/partial "$folder"
touch "$scratch/status"
echo "deb [arch=arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $VERSION_CODENAME main" > "$scratch/sources.list"
cat > "$scratch/apt.conf" <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
Dir::State::lists "$scratch/lists";
Dir::State::status "$scratch/status";
Dir::Cache::archives "$scratch/archives";
Dir::Etc::sourcelist "$scratch/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
Debug::NoLocking "true";
CONF
export APT_CONFIG="$scratch/apt.conf"
apt-get -qq update
apt-get -qq -y --no-install-recommends --download-only install \
  libzip-dev libpng-dev libssl-dev libhwy-dev libjpeg62-turbo-dev zlib1g-dev nlohmann-json3-dev libcli11-dev \
  libgtest-dev libgmock-dev libc6 libstdc++6
# The cross compiler has headers and start files of libc itself; two of them do not mix.
for package in "$scratch"/archives/*.deb; do
  case "$(basename "$package")" in libc6-dev_* | linux-libc-dev_* | libgcc-*-dev_* | libstdc++-*-dev_*) continue ;; esac
  dpkg-deb -x "$package" "$folder"
done

"$here/onnxruntime_root.sh" "$folder/onnxruntime" "$python"
version=$("$python" -c 'import importlib.metadata; print(importlib.metadata.version("onnxruntime"))')
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --dest "$scratch/wheel" "onnxruntime==$version"
"$python" -m zipfile -e "$scratch"/wheel/*.whl "$scratch/unpacked"
rm -f "$folder/onnxruntime/lib/"*
cp "$scratch/unpacked/onnxruntime/capi/libonnxruntime.so.$version" "$folder/onnxruntime/lib/"
for name in libonnxruntime.so libonnxruntime.so.1; do ln -s "libonnxruntime.so.$version" "$folder/onnxruntime/lib/$name"; done
# What qemu-user shows programs in place of this machine's: ONNX Runtime reads it, and ends on that of another kind.
mkdir -p "$folder/proc"
for processor in 0 1; do
  cat <<CPUINFO
processor	: $processor
BogoMIPS	: 62.50
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x0
CPU part	: 0xd42
CPU revision	: 1

CPUINFO
done > "$folder/proc/cpuinfo"
touch "$folder/.complete"
