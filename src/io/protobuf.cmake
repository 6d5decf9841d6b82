# protobuf.cmake - the readers of protobuf formats: protoc-c makes <name>.pb-c.c from every .proto of this folder.
# Included by the CMakeLists.txt on top where protobuf-c was found (cmake/dependencies.cmake).
set(SENET_PROTO_FOLDER ${PROJECT_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${SENET_PROTO_FOLDER}/io)
file(GLOB schemas CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/io/*.proto)
foreach(schema IN LISTS schemas)
  get_filename_component(name ${schema} NAME_WE)
  set(made ${SENET_PROTO_FOLDER}/io/${name}.pb-c)
  add_custom_command(OUTPUT ${made}.c ${made}.h DEPENDS ${schema} COMMENT "Protobuf reader ${name}.pb-c.c" VERBATIM
                     COMMAND ${SENET_PROTOC_C} --proto_path=${PROJECT_SOURCE_DIR}/src --c_out=${SENET_PROTO_FOLDER}
                             ${schema})
  target_sources(senet_objects PRIVATE ${made}.c ${made}.h)
endforeach()
target_include_directories(senet_objects SYSTEM PRIVATE ${SENET_PROTO_FOLDER})
