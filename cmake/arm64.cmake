# arm64.cmake - toolchain file: Debian's cross compiler for arm64, its multiarch libraries, and an emulator in which ctest runs the
# programs.  docs/building.md names the packages; the preset `arm64` and `make arm64` use this file.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
find_program(SENET_QEMU NAMES qemu-aarch64-static qemu-aarch64)
set(CMAKE_CROSSCOMPILING_EMULATOR ${SENET_QEMU})

# Headers and libraries lie in /usr/include and /usr/lib/aarch64-linux-gnu; pkg-config is to see no others.
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)
