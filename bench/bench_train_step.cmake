# The time of our training step; bench/train_step compares it with PyTorch's.
if(SGP_PROGRAM)
  add_executable(bench_train_step ${CMAKE_CURRENT_LIST_DIR}/bench_train_step.c)
  target_link_libraries(bench_train_step PRIVATE sgp_flags sgp_model sgp_static m)
endif()
