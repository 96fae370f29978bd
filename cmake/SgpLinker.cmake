# An installation and the run-time linker. Included by `cmake --install` itself, not by the configuration.

# sgp_find_ldconfig(RESULT): its path, or empty. It lies outside the PATH of most users.
function(sgp_find_ldconfig result)
  find_program(ldconfig ldconfig PATHS /usr/sbin /sbin NO_CACHE)
  if(NOT ldconfig)
    set(ldconfig "")
  endif()
  set(${result} "${ldconfig}" PARENT_SCOPE)
endfunction()

# sgp_linker_searches(FOLDER RESULT): whether programs find libraries in FOLDER without an rpath.
function(sgp_linker_searches folder result)
  set(searched "")
  sgp_find_ldconfig(ldconfig)
  if(ldconfig)
    # -N -X: change nothing. Each folder is a line "/usr/local/lib: (from ...)".
    execute_process(COMMAND ${ldconfig} -v -N -X OUTPUT_VARIABLE searched ERROR_QUIET)
  endif()
  string(FIND "\n${searched}" "\n${folder}:" place)
  if(folder MATCHES "^(/usr)?/lib(64)?(/[^/]+-linux-gnu[^/]*)?$" OR NOT place EQUAL -1)
    set(${result} TRUE PARENT_SCOPE)
  else()
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()

# sgp_update_linker(FOLDER): enters the libraries of FOLDER into the linker's cache, unless the linker does not search
# there or the installation is staged (DESTDIR). A failure is a warning: the files are in place.
function(sgp_update_linker folder)
  sgp_linker_searches("${folder}" searched)
  sgp_find_ldconfig(ldconfig)
  if(NOT searched OR NOT ldconfig OR NOT "$ENV{DESTDIR}" STREQUAL "")
    return()
  endif()
  message(STATUS "Running: ${ldconfig}")
  execute_process(COMMAND ${ldconfig} RESULT_VARIABLE failed ERROR_VARIABLE why OUTPUT_QUIET)
  if(failed)
    message(WARNING "ldconfig failed, so programs may not find libsgp yet; run it as root: ${why}")
  endif()
endfunction()
