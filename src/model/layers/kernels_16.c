/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels with vectors of 16 floats, for AVX-512. CMake sets the instruction set of this file. */
#define LANES 16
#include "model/layers/kernels_table.h"

const kernels_t kernels_16 = KERNELS_TABLE;
