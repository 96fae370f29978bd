/* SPDX-License-Identifier: Apache-2.0 */
#include "model/models/models.h"
#include "model/models/residual.h"

enum { STAGES = 4, WIDTH = 64 };

/* The ResNets for large images (He, Zhang, Ren, Sun 2015, table 1), with the names, shapes and
 * initial values of torchvision.models, but for the zero scales of residual.h (torchvision's
 * zero_init_residual): a 7x7 convolution and max pooling, each of stride 2, then four stages of
 * 64, 128, 256 and 512 channels. */
static void build(network_t *network, int classes, const int blocks[STAGES], bool bottleneck) {
    residual_t net = {.network = network, .initial = LAYER_INITIAL_FAN_OUT};
    residual_stem(&net, WIDTH, 7, 2);
    net.value = network_add(
        network,
        (layer_spec_t){
            .kind = LAYER_MAX_POOL, .input = net.value, .kernel = 3, .stride = 2, .padding = 1},
        "maxpool");
    for (int stage = 0; stage < STAGES; stage++)
        residual_stage(&net, &(residual_stage_t){.blocks = blocks[stage],
                                                 .channels = WIDTH << stage,
                                                 .stride = stage > 0 ? 2 : 1,
                                                 .bottleneck = bottleneck});
    residual_head(&net, classes, LAYER_INITIAL_UNIFORM);
}

void models_resnet18(network_t *network, int classes) {
    build(network, classes, (const int[STAGES]){2, 2, 2, 2}, false);
}

void models_resnet34(network_t *network, int classes) {
    build(network, classes, (const int[STAGES]){3, 4, 6, 3}, false);
}

void models_resnet50(network_t *network, int classes) {
    build(network, classes, (const int[STAGES]){3, 4, 6, 3}, true);
}

void models_resnet101(network_t *network, int classes) {
    build(network, classes, (const int[STAGES]){3, 4, 23, 3}, true);
}
