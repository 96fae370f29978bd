# The time by which a picture becomes a network's input; bench/data compares it with torchvision's.
if(SGP_PROGRAM)
  add_executable(bench_data ${CMAKE_CURRENT_LIST_DIR}/bench_data.c)
  target_link_libraries(bench_data PRIVATE sgp_flags sgp_data sgp_static m)
endif()
