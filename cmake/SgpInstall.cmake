# Installation of library, headers, program, manual, and the files of pkg-config and find_package(sgp).
# Components: program, library (with the modules), development.
include(CMakePackageConfigHelpers)

install(TARGETS sgp_shared sgp_static EXPORT sgp
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(DIRECTORY include/sgp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
  FILES_MATCHING PATTERN "*.h")
if(TARGET sgp)
  install(TARGETS sgp RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
  install(FILES docs/sgp.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
endif()

# Relative, so that the installed tree can be moved and `cmake --install --prefix` is enough. That prefix decides
# which of two sgp.pc is installed: programs need an rpath if the run-time linker does not search the folder.
file(RELATIVE_PATH SGP_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" SGP_PC_PREFIX "${SGP_PC_PREFIX}")
set(SGP_PC_RPATH "")
configure_file(cmake/sgp.pc.in pkgconfig/plain/sgp.pc @ONLY)
set(SGP_PC_RPATH "-Wl,-rpath,\${libdir} ")
configure_file(cmake/sgp.pc.in pkgconfig/rpath/sgp.pc @ONLY)
set(with_linker "
  include(\"${PROJECT_SOURCE_DIR}/cmake/SgpLinker.cmake\")
  set(sgp_libdir \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}\")")
install(CODE "${with_linker}
  sgp_linker_searches(\"\${sgp_libdir}\" sgp_searched)
  set(sgp_pc plain)
  if(NOT sgp_searched)
    set(sgp_pc rpath)
  endif()
  file(INSTALL \"${PROJECT_BINARY_DIR}/pkgconfig/\${sgp_pc}/sgp.pc\" DESTINATION \"\${sgp_libdir}/pkgconfig\")"
  COMPONENT development)
install(CODE "${with_linker}
  sgp_update_linker(\"\${sgp_libdir}\")"
  COMPONENT library)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sgp)
configure_package_config_file(cmake/sgp-config.cmake.in sgp-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(sgp-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sgp-config.cmake ${PROJECT_BINARY_DIR}/sgp-config-version.cmake
  DESTINATION ${package_dir} COMPONENT development)
install(EXPORT sgp NAMESPACE sgp:: FILE sgp-targets.cmake DESTINATION ${package_dir} COMPONENT development)

include(SgpPackage)
