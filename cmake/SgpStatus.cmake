# The module of the status server: src/status/server, if libmicrohttpd is found. Nothing else is compiled or linked against
# it. Sets SGP_STATUS_FOUND. What the module shows is a library of its own, sgp_status_pages, for the tests and bench.
include(${CMAKE_CURRENT_LIST_DIR}/SgpSearch.cmake)
option(SGP_STATUS "Build the status server if libmicrohttpd is found" ON)
set(SGP_STATUS_FOUND FALSE)
set(status_sources ${PROJECT_SOURCE_DIR}/src/status/server)

# sgp_embed(FILE NAME RESULT): a C file that defines NAME, the bytes of FILE and a 0 byte, and NAME_size without that.
function(sgp_embed file name result)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"status/server/page_assets.h\"
const char ${name}[] = {@bytes@0};
const size_t ${name}_size = sizeof ${name} - 1;
" @ONLY)
  set(${result} ${source} PARENT_SCOPE)
endfunction()

if(SGP_STATUS)
  sgp_forget_removed(SGP_MICROHTTPD_INCLUDE microhttpd.h)
  sgp_forget_removed(SGP_MICROHTTPD_LIBRARY)
  find_path(SGP_MICROHTTPD_INCLUDE microhttpd.h)
  find_library(SGP_MICROHTTPD_LIBRARY microhttpd)
  mark_as_advanced(SGP_MICROHTTPD_INCLUDE SGP_MICROHTTPD_LIBRARY)
endif()

if(TARGET sgp_base)
  sgp_embed(${status_sources}/page.css page_style style_source)
  sgp_embed(${status_sources}/page.js page_script script_source)
  file(GLOB sources CONFIGURE_DEPENDS ${status_sources}/*.c)
  set(http_sources ${sources})
  list(FILTER sources EXCLUDE REGEX "/(status_server|http_answer|http_events)\\.c$")
  list(REMOVE_ITEM http_sources ${sources})
  add_library(sgp_status_pages STATIC EXCLUDE_FROM_ALL ${sources} ${style_source} ${script_source})
  target_link_libraries(sgp_status_pages PUBLIC sgp_flags PkgConfig::SODIUM m)
endif()

if(SGP_STATUS AND SGP_MICROHTTPD_INCLUDE AND SGP_MICROHTTPD_LIBRARY)
  set(SGP_STATUS_FOUND TRUE)
  message(STATUS "Status server: ${SGP_MICROHTTPD_LIBRARY}")
else()
  message(STATUS "Status server: left out, libmicrohttpd was not found")
endif()

if(SGP_STATUS_FOUND AND TARGET sgp_base)
  # With copies of what it uses of the rooms below it: libsgp exports its public functions alone.
  add_library(sgp_status_below STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:sgp_base> $<TARGET_OBJECTS:sgp_net>)
  add_library(sgp_status_module MODULE ${http_sources})
  target_include_directories(sgp_status_module SYSTEM PRIVATE ${SGP_MICROHTTPD_INCLUDE})
  target_link_libraries(sgp_status_module PRIVATE sgp_status_pages sgp_status_below Threads::Threads ${SGP_MICROHTTPD_LIBRARY})
  target_link_options(sgp_status_module PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/libsgp-status.map)
  set_target_properties(sgp_status_module PROPERTIES OUTPUT_NAME sgp-status PREFIX lib
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/libsgp-status.map)
  install(TARGETS sgp_status_module LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
endif()
