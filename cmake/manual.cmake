# manual.cmake - the manual pages senet(1) and senet-VERB(1), printed by the program from its own tables of options.
set(SENET_PAGES)
# manual_page(PAGE [VERB])
function(manual_page page)
  set(output ${PROJECT_BINARY_DIR}/man/${page}.1)
  add_custom_command(OUTPUT ${output} DEPENDS senet COMMENT "Manual page ${page}(1)" VERBATIM
                     COMMAND sh -c "\"$@\" > ${page}.1.new && mv ${page}.1.new ${page}.1" sh
                             ${CMAKE_CROSSCOMPILING_EMULATOR} $<TARGET_FILE:senet> ${ARGN} --man
                     WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/man)
  set(SENET_PAGES ${SENET_PAGES} ${output} PARENT_SCOPE)
endfunction()

file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/man)
manual_page(senet)
file(GLOB verbs CONFIGURE_DEPENDS cli/cmd_*.c)
foreach(source IN LISTS verbs)
  string(REGEX REPLACE ".*/cmd_(.*)\\.c$" "\\1" verb ${source})
  manual_page(senet-${verb} ${verb})
endforeach()
add_custom_target(manual ALL DEPENDS ${SENET_PAGES})
