"""Make the board's disk: Debian packages, a kernel, a small first file system, a key to get in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from edgekit.core.errors import EnvironmentFault, MissingRequirement

PACKAGES = (
    "base-files", "busybox-static", "iproute2", "kmod", "libgomp1", "libstdc++6", "linux-image-arm64",
    "openssh-server", "procps", "python3",
)  # fmt: skip
SUITE = "bookworm"
SIZE = "3G"
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "cpio": "cpio",
    "ssh-keygen": "openssh-client",
}
# In the order in which they need each other.
MODULES = (
    "virtio", "virtio_ring", "virtio_mmio", "virtio_blk", "failover", "net_failover", "virtio_net", "crc16",
    "crc32c_generic", "libcrc32c", "mbcache", "jbd2", "ext4",
)  # fmt: skip
DISK, KERNEL, INITRD, KEY = "disk.ext4", "vmlinuz", "initrd", "key"
_FIRST = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for m in {modules}; do /bin/busybox insmod /modules/$m.ko; done
/bin/busybox mount -t ext4 /dev/vda /root
exec /bin/busybox switch_root /root /sbin/board
"""
# Nothing but what is needed: no service starts, so a boot is the kernel's and sshd's time.
_BOARD = """#!/bin/busybox sh
export PATH={path}
[ -e /opt/busybox/ls ] || {{ /bin/busybox mkdir -p /opt/busybox; /bin/busybox --install -s /opt/busybox; }}
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm /run/sshd
mount -t devpts pts /dev/pts; mount -t tmpfs shm /dev/shm; mount -t tmpfs -o size=512m tmp /tmp
hostname board
ip link set lo up
ip address add 10.0.2.15/24 dev eth0 && ip link set eth0 up && ip route add default via 10.0.2.2
[ -e /boot/hangs ] && while :; do sleep 60; done
/usr/sbin/sshd -D -e
"""
_USERS = """root:x:0:0:root:/root:/bin/sh
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
"""
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/opt/busybox"
_SSHD = """SetEnv PATH={path}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
"""


def build(folder: Path) -> None:
    """Make kernel, first file system, disk and key in ``folder``; takes minutes and some hundred MB of packages.

    Raises:
        MissingRequirement: a tool of Debian is not installed.
        EnvironmentFault: a tool failed, or this is not root.
    """
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise MissingRequirement(f"the command {tool}", f"apt-get install {package}")
    folder.mkdir(parents=True, exist_ok=True)
    tree = folder / "tree.partial"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    include = ",".join(PACKAGES)
    _call("mmdebstrap", "--variant=extract", "--architectures=arm64", f"--include={include}", SUITE, f"{tree}.tar")
    _call("tar", "--extract", f"--file={tree}.tar", f"--directory={tree}")
    Path(f"{tree}.tar").unlink()
    _first_file_system(folder, tree)
    _configure(folder, tree)
    partial = folder / f"{DISK}.partial"
    partial.unlink(missing_ok=True)
    _call("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(partial), SIZE)
    shutil.rmtree(tree)
    partial.replace(folder / DISK)


def _first_file_system(folder: Path, tree: Path) -> None:
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    shutil.copy(kernel, folder / KERNEL)
    first = folder / "first.partial"
    shutil.rmtree(first, ignore_errors=True)
    for name in ("bin", "modules", "proc", "dev", "root"):
        (first / name).mkdir(parents=True)
    shutil.copy(tree / "bin" / "busybox", first / "bin" / "busybox")
    found = [name for name in MODULES if _module(tree, name, first / "modules")]
    _script(first / "init", _FIRST.format(modules=" ".join(found)))
    _call("sh", "-c", 'cd "$1" && find . | cpio --quiet -o -H newc >"$2"', "sh", str(first), str(folder / INITRD))
    shutil.rmtree(first)


def _module(tree: Path, name: str, target: Path) -> bool:
    """Copy a module; False: the kernel has it built in."""
    for module in (tree / "lib" / "modules").rglob(f"{name}.ko"):
        shutil.copy(module, target)
        return True
    (listed,) = (tree / "lib" / "modules").glob("*/modules.builtin")
    if f"/{name}.ko" not in listed.read_text():
        raise EnvironmentFault(f"Debian's kernel has no module {name}; the list of modules is of another version")
    return False


def _configure(folder: Path, tree: Path) -> None:
    """What the packages' own scripts would do, without running anything of another architecture."""
    for unneeded in ("boot", "lib/modules", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(tree / unneeded, ignore_errors=True)
    for name in ("boot", "proc", "sys", "dev", "tmp", "run", "var/tmp"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    if not (tree / "bin" / "sh").is_symlink():
        (tree / "bin" / "sh").symlink_to("busybox")
    (tree / "etc" / "passwd").write_text(_USERS)
    (tree / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    _script(tree / "sbin" / "board", _BOARD.format(path=_PATH))
    (tree / "etc" / "ssh" / "sshd_config").write_text(_SSHD.format(path=_PATH))
    for path, name in ((tree / "etc" / "ssh" / "ssh_host_ed25519_key", "board"), (folder / KEY, "edgekit-hil")):
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.pub").unlink(missing_ok=True)
        _call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path))
    home = tree / "root" / ".ssh"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copy(folder / f"{KEY}.pub", home / "authorized_keys")


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise EnvironmentFault(f"{command[0]}: {last}")
