/* SPDX-License-Identifier: Apache-2.0 */
#include "model/network.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

const char *layer_kind_name(layer_kind_t kind) {
    static const char *const names[] = {
        [LAYER_CONVOLUTION] = "convolution",
        [LAYER_DENSE] = "dense",
        [LAYER_RELU] = "relu",
        [LAYER_BATCH_NORM] = "batch norm",
        [LAYER_MAX_POOL] = "max pooling",
        [LAYER_AVERAGE_POOL] = "average pooling",
    };
    return names[kind];
}

int network_add(network_t *network, layer_spec_t spec, const char *format, ...) {
    assert(network->count < NETWORK_MAX_LAYERS);
    assert(spec.input <= network->count && spec.residual <= network->count);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(spec.name, sizeof spec.name, format, arguments);
    va_end(arguments);
    assert(length > 0 && (size_t)length < sizeof spec.name);
    (void)length;
    if (spec.stride == 0) spec.stride = 1;
    network->layers[network->count++] = spec;
    return network->count;
}
