# Run by cpack between installing and packing: the dependencies of the library's package. A module is
# loaded on demand, so the library behind it is not a dependency: SimGrid and libmicrohttpd are recommended, MPI libraries
# are suggested.
# dpkg-shlibdeps finds the names of their packages.
set(staged "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/library")
set(work "${CPACK_TOPLEVEL_DIRECTORY}/shlibdeps")
file(WRITE "${work}/debian/control" "Source: sgp\n\nPackage: libsgp\nArchitecture: any\n")
file(GLOB_RECURSE library "${staged}/*/libsgp.so.*.*.*")
file(GLOB_RECURSE recommended "${staged}/*/libsgp-simgrid.so" "${staged}/*/libsgp-status.so")
file(GLOB_RECURSE mpi "${staged}/*/libsgp-mpi-*.so")
set(arguments -dDepends ${library})
if(recommended)
  list(APPEND arguments -dRecommends ${recommended})
endif()
if(mpi)
  list(APPEND arguments -dSuggests ${mpi})
endif()
execute_process(COMMAND dpkg-shlibdeps -O --ignore-missing-info ${arguments} WORKING_DIRECTORY "${work}"
  OUTPUT_VARIABLE found ERROR_VARIABLE why RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "dpkg-shlibdeps failed (Debian: dpkg-dev): ${why}")
endif()
foreach(kind Depends Recommends Suggests)
  string(TOUPPER ${kind} variable)
  if(found MATCHES "shlibs:${kind}=([^\n]*)")
    set(CPACK_DEBIAN_LIBRARY_PACKAGE_${variable} "${CMAKE_MATCH_1}")
  endif()
endforeach()
