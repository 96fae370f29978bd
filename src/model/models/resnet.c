/* SPDX-License-Identifier: Apache-2.0 */
#include "model/models/models.h"

enum { STAGES = 3, BLOCKS = 3, WIDTH = 16 };

static layer_spec_t convolution(int x, int channels, int kernel, int stride) {
    return (layer_spec_t){.kind = LAYER_CONVOLUTION,
                          .input = x,
                          .channels = channels,
                          .kernel = kernel,
                          .stride = stride,
                          .padding = kernel / 2};
}

/* y = relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)). Where the shape changes the shortcut is
 * a 1x1 convolution with batch norm (option B of the paper), else it is x. */
static int basic_block(network_t *network, int x, int stage, int number, int channels, int stride) {
    int y = network_add(network, convolution(x, channels, 3, stride), "layer%d.%d.conv1", stage,
                        number);
    y = network_add(network, (layer_spec_t){.kind = LAYER_BATCH_NORM, .input = y, .relu = true},
                    "layer%d.%d.bn1", stage, number);
    y = network_add(network, convolution(y, channels, 3, 1), "layer%d.%d.conv2", stage, number);
    int shortcut = x;
    if (stride != 1) {
        shortcut = network_add(network, convolution(x, channels, 1, stride),
                               "layer%d.%d.downsample.0", stage, number);
        shortcut = network_add(network, (layer_spec_t){.kind = LAYER_BATCH_NORM, .input = shortcut},
                               "layer%d.%d.downsample.1", stage, number);
    }
    return network_add(network,
                       (layer_spec_t){.kind = LAYER_BATCH_NORM,
                                      .input = y,
                                      .residual = shortcut,
                                      .relu = true,
                                      .zero_scale = true},
                       "layer%d.%d.bn2", stage, number);
}

/* ResNet-20 for small images (He, Zhang, Ren, Sun 2015, section 4.2): 16, 32 and 64 channels, three
 * basic blocks each. */
void models_resnet20(network_t *network, int classes) {
    int x = network_add(network, convolution(0, WIDTH, 3, 1), "conv1");
    x = network_add(network, (layer_spec_t){.kind = LAYER_BATCH_NORM, .input = x, .relu = true},
                    "bn1");
    for (int stage = 0; stage < STAGES; stage++)
        for (int number = 0; number < BLOCKS; number++)
            x = basic_block(network, x, stage + 1, number, WIDTH << stage,
                            stage > 0 && number == 0 ? 2 : 1);
    x = network_add(network, (layer_spec_t){.kind = LAYER_AVERAGE_POOL, .input = x}, "pool");
    network_add(network,
                (layer_spec_t){.kind = LAYER_DENSE, .input = x, .channels = classes, .bias = true},
                "fc");
}
