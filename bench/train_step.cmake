# The time of a training step, ours; bench/train_step compares it with PyTorch's.
if(SGP_PROGRAM)
  add_executable(train_step ${CMAKE_CURRENT_LIST_DIR}/train_step.c)
  target_link_libraries(train_step PRIVATE sgp_flags sgp_model sgp_static m)
endif()
