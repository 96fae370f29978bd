/* SPDX-License-Identifier: Apache-2.0 */
#include "model/network.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* X(name) */
#define NETWORK_MAP(X) X(mlp) X(lenet) X(resnet20)

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

bool network_build(network_t *network, const char *name, int classes) {
    static const struct {
        const char *name;
        void (*build)(network_t *, int);
    } models[] = {
#define NETWORK_ENTRY(model) {#model, network_##model},
        NETWORK_MAP(NETWORK_ENTRY)
#undef NETWORK_ENTRY
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        if (strcmp(models[i].name, name)) continue;
        models[i].build(network, classes);
        return true;
    }
    return false;
}

const char *network_names(void) {
#define NETWORK_NAME(model) ", " #model
    return &NETWORK_MAP(NETWORK_NAME)[2]; /* without the first comma */
#undef NETWORK_NAME
}
