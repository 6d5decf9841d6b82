# install.cmake - where things go: the program, both libraries, the header, pkg-config, the manual pages, the licence.
file(RELATIVE_PATH SENET_PC_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix) # the installed tree may move
configure_file(cmake/senet.pc.in senet.pc @ONLY)
install(TARGETS senet RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS senet_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS senet_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/senet DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES ${PROJECT_BINARY_DIR}/senet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${SENET_PAGES} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
