/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels with vectors of 8 floats, for AVX2. CMake sets the instruction set of this file. */
#define LANES 8
#include "model/layers/kernels_table.h"

const kernels_t kernels_8 = KERNELS_TABLE;
