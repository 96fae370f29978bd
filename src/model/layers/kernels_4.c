/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels with vectors of 4 floats. CMake sets the instruction set of this file. */
#define LANES 4
#include "model/layers/kernels_table.h"

const kernels_t kernels_4 = KERNELS_TABLE;
