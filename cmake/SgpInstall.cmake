# What `cmake --install` puts where: library, headers, program, manual, and how others find the library
# (pkg-config and find_package(sgp)).
include(CMakePackageConfigHelpers)

install(TARGETS sgp_shared sgp_static EXPORT sgp
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/sgp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(TARGET sgp)
  install(TARGETS sgp RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES docs/sgp.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

# Relative, so that the installed tree may be moved and `cmake --install --prefix` is enough.
file(RELATIVE_PATH SGP_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/sgp.pc.in sgp.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/sgp.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sgp)
configure_package_config_file(cmake/sgp-config.cmake.in sgp-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(sgp-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sgp-config.cmake ${PROJECT_BINARY_DIR}/sgp-config-version.cmake
  DESTINATION ${package_dir})
install(EXPORT sgp NAMESPACE sgp:: FILE sgp-targets.cmake DESTINATION ${package_dir})
