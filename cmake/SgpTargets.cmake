# The flags of every target, and one call per folder of the house.

add_library(sgp_flags INTERFACE)
target_compile_definitions(sgp_flags INTERFACE _GNU_SOURCE)
target_include_directories(sgp_flags INTERFACE
  ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
# No contraction to fused multiply-add: the same source gives the same bits on every compiler and machine.
target_compile_options(sgp_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
  -ffp-contract=off -fno-math-errno)
if(SGP_WERROR)
  target_compile_options(sgp_flags INTERFACE -Werror)
endif()
if(SGP_SANITIZE)
  string(REPLACE ";" "," sanitizers "${SGP_SANITIZE}")
  target_compile_options(sgp_flags INTERFACE -fsanitize=${sanitizers} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(sgp_flags INTERFACE -fsanitize=${sanitizers})
  # gcc warns that the thread sanitizer ignores fences; ours order memory shared with other processes, which it does not check at all.
  if(SGP_SANITIZE MATCHES "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(sgp_flags INTERFACE -Wno-tsan)
  endif()
endif()

# sgp_folder(NAME [EXCLUDE regex] [LINK targets...]): the C files of the calling folder (and of the folders below it)
# as one object library sgp_NAME. EXCLUDE: a regular expression, of files that are not part of it.
function(sgp_folder name)
  cmake_parse_arguments(arg "" "EXCLUDE" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  if(arg_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX ${arg_EXCLUDE})
  endif()
  if(NOT sources)
    return()
  endif()
  add_library(sgp_${name} OBJECT ${sources})
  target_link_libraries(sgp_${name} PUBLIC sgp_flags ${arg_LINK})
  set_property(GLOBAL APPEND PROPERTY SGP_FOLDERS sgp_${name})
endfunction()
