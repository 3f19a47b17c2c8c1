# Cross-build for 64-bit Arm with Debian's compiler; tests run under qemu-user.
# EDGEKIT_SYSROOT is a folder with arm64 libraries: cpp/tools/aarch64_sysroot.sh makes one.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(EDGEKIT_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../../build/aarch64-sysroot CACHE PATH "folder with arm64 libraries")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES EDGEKIT_SYSROOT)
get_filename_component(edgekit_sysroot ${EDGEKIT_SYSROOT} REALPATH)
set(CMAKE_FIND_ROOT_PATH ${edgekit_sysroot})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${edgekit_sysroot}/usr/lib/aarch64-linux-gnu/pkgconfig:${edgekit_sysroot}/usr/share/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${edgekit_sysroot})

# Debian keeps what differs between processors, such as opensslconf.h, in a folder of its own.
set(CMAKE_C_FLAGS_INIT "-isystem ${edgekit_sysroot}/usr/include/aarch64-linux-gnu")
set(CMAKE_CXX_FLAGS_INIT "${CMAKE_C_FLAGS_INIT}")

# What the linker looks for behind the libraries that are named.
set(edgekit_libraries ${edgekit_sysroot}/usr/lib/aarch64-linux-gnu)
foreach(kind EXE SHARED MODULE)
  set(CMAKE_${kind}_LINKER_FLAGS_INIT "-Wl,-rpath-link,${edgekit_libraries} -Wl,-rpath-link,${edgekit_sysroot}/lib/aarch64-linux-gnu")
endforeach()
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L ${edgekit_sysroot})
