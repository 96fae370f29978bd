/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layers/layer_kernels.h"

extern const kernels_t kernels_4, kernels_8, kernels_16;

#if defined(__x86_64__)
const kernels_t *kernels_of(int lanes) {
    if (lanes == 16 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return &kernels_16;
    if (lanes == 8 && __builtin_cpu_supports("avx2")) return &kernels_8;
    return lanes == 4 ? &kernels_4 : NULL;
}
#else
const kernels_t *kernels_of(int lanes) {
    return lanes == 4 ? &kernels_4 : NULL;
}
#endif

const kernels_t *kernels_best(void) {
    for (int lanes = 16; lanes > 4; lanes /= 2)
        if (kernels_of(lanes)) return kernels_of(lanes);
    return &kernels_4;
}
