/* SPDX-License-Identifier: Apache-2.0 */
#include "model/models/models.h"

static int block(network_t *network, int x, int number, int channels) {
    x = network_add(network,
                    (layer_spec_t){.kind = LAYER_CONVOLUTION,
                                   .input = x,
                                   .channels = channels,
                                   .kernel = 5,
                                   .padding = 2,
                                   .bias = true},
                    "conv%d", number);
    return network_add(
        network,
        (layer_spec_t){.kind = LAYER_MAX_POOL, .input = x, .kernel = 2, .stride = 2, .relu = true},
        "pool%d", number);
}

/* The small LeNet (after LeCun et al. 1998): two blocks of 5x5 convolution, ReLU and 2x2 max
 * pooling, with 16 and 32 channels, and one dense layer. */
void models_lenet(network_t *network, int classes) {
    int x = block(network, 0, 1, 16);
    x = block(network, x, 2, 32);
    network_add(network,
                (layer_spec_t){.kind = LAYER_DENSE, .input = x, .channels = classes, .bias = true},
                "fc");
}
