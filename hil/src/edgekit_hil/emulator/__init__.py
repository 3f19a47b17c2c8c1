"""An aarch64 board out of QEMU: Debian's kernel and packages on a disk that outlives a power cut.

``python -m edgekit_hil.emulator build FOLDER`` makes it once; ``on``, ``off`` and ``cycle`` are its power, as labgrid's
``ExternalPowerDriver`` calls it.  It is for what does not depend on time: that wheels install, that engines are built
and give the same outputs, that a cut in the middle leaves nothing half-written.
"""
