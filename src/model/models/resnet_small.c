/* SPDX-License-Identifier: Apache-2.0 */
#include "model/models/models.h"
#include "model/models/residual.h"

enum { STAGES = 3, WIDTH = 16 };

/* The ResNets for small images (He, Zhang, Ren, Sun 2015, section 4.2): with n blocks per stage, of
 * 16, 32 and 64 channels, they have 6n + 2 layers. Shortcuts are those of the large networks (option
 * B), where the paper's have no parameters. */
static void build(network_t *network, int classes, int blocks) {
    residual_t net = {.network = network, .initial = LAYER_INITIAL_FAN_IN};
    residual_stem(&net, WIDTH, 3, 1);
    for (int stage = 0; stage < STAGES; stage++)
        residual_stage(&net, &(residual_stage_t){.blocks = blocks,
                                                 .channels = WIDTH << stage,
                                                 .stride = stage > 0 ? 2 : 1});
    residual_head(&net, classes, LAYER_INITIAL_FAN_IN);
}

void models_resnet20(network_t *network, int classes) {
    build(network, classes, 3);
}

void models_resnet32(network_t *network, int classes) {
    build(network, classes, 5);
}

void models_resnet56(network_t *network, int classes) {
    build(network, classes, 9);
}
