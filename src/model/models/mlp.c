/* SPDX-License-Identifier: Apache-2.0 */
#include "model/models/models.h"

/* A multilayer perceptron with two hidden layers of 256 units. */
void models_mlp(network_t *network, int classes) {
    enum { WIDTH = 256 };
    int x = 0;
    for (int i = 1; i <= 2; i++) {
        x = network_add(
            network,
            (layer_spec_t){.kind = LAYER_DENSE, .input = x, .channels = WIDTH, .bias = true},
            "fc%d", i);
        x = network_add(network, (layer_spec_t){.kind = LAYER_RELU, .input = x}, "relu%d", i);
    }
    network_add(network,
                (layer_spec_t){.kind = LAYER_DENSE, .input = x, .channels = classes, .bias = true},
                "fc3");
}
