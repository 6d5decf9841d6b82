# dependencies.cmake - what the library stands on; docs/dependencies.md says why each.  senet_needs carries them all.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
pkg_check_modules(YAJL REQUIRED IMPORTED_TARGET yajl)

add_library(senet_needs INTERFACE)
target_include_directories(senet_needs INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(senet_needs INTERFACE Threads::Threads JPEG::JPEG PNG::PNG PkgConfig::YAJL m)
set(SENET_PC_LIBS "-ljpeg -lpng -lyajl") # for senet.pc: what a link with libsenet.a needs, the libraries below being shared

# `senet data get`: transfer, unpacking, MD5.
set(SENET_HAS_DOWNLOAD OFF)
if(SENET_DOWNLOAD)
  pkg_check_modules(DOWNLOAD IMPORTED_TARGET libcurl libarchive nettle)
  set(SENET_HAS_DOWNLOAD ${DOWNLOAD_FOUND})
endif()
if(SENET_HAS_DOWNLOAD)
  target_compile_definitions(senet_needs INTERFACE SENET_WITH_DOWNLOAD)
  target_link_libraries(senet_needs INTERFACE PkgConfig::DOWNLOAD)
  string(APPEND SENET_PC_LIBS " -lcurl -larchive -lnettle")
else()
  message(STATUS "`senet data get` is switched off (needs libcurl, libarchive, nettle)")
endif()

# Caffe's weights files: the library that reads protobuf, and the compiler of its schemas.
pkg_check_modules(PROTOBUF_C IMPORTED_TARGET libprotobuf-c)
find_program(SENET_PROTOC_C protoc-c)
if(PROTOBUF_C_FOUND AND SENET_PROTOC_C)
  set(SENET_HAS_PROTOBUF ON)
  target_compile_definitions(senet_needs INTERFACE SENET_WITH_PROTOBUF)
  target_link_libraries(senet_needs INTERFACE PkgConfig::PROTOBUF_C)
  string(APPEND SENET_PC_LIBS " -lprotobuf-c")
else()
  set(SENET_HAS_PROTOBUF OFF)
  message(STATUS "reading Caffe files is switched off (needs libprotobuf-c and protoc-c)")
endif()
