/* SPDX-License-Identifier: Apache-2.0 */
#include "model/models/residual.h"

/* The names of the tensors of block `number` are "layer<stage>.<number>.<part>". */
typedef struct block {
    residual_t *net;
    int number;
} block_t;

static layer_spec_t convolution(const residual_t *net, int x, int channels, int kernel,
                                int stride) {
    return (layer_spec_t){.kind = LAYER_CONVOLUTION,
                          .input = x,
                          .channels = channels,
                          .kernel = kernel,
                          .stride = stride,
                          .padding = kernel / 2,
                          .initial = net->initial};
}

static int add(const block_t *block, layer_spec_t spec, const char *part, int index) {
    return network_add(block->net->network, spec, "layer%d.%d.%s%d", block->net->stage,
                       block->number, part, index);
}

/* conv<index> and the batch norm bn<index> with ReLU behind it. */
static int rectified(const block_t *block, int index, layer_spec_t spec) {
    int y = add(block, spec, "conv", index);
    return add(block, (layer_spec_t){.kind = LAYER_BATCH_NORM, .input = y, .relu = true}, "bn",
               index);
}

static int shortcut(const block_t *block, int channels, int stride) {
    const residual_t *net = block->net;
    if (stride == 1 && channels == net->channels) return net->value;
    int y = add(block, convolution(net, net->value, channels, 1, stride), "downsample.", 0);
    return add(block, (layer_spec_t){.kind = LAYER_BATCH_NORM, .input = y}, "downsample.", 1);
}

/* y = relu(bn<last>(conv<last>(...relu(bn1(conv1(x))))) + shortcut(x)). */
static void add_block(residual_t *net, const residual_stage_t *stage, int number) {
    const block_t block = {net, number};
    int stride = number == 0 ? stage->stride : 1, width = stage->channels, last = 2;
    int channels = stage->bottleneck ? RESIDUAL_EXPANSION * width : width;
    int y = net->value;
    if (stage->bottleneck) {
        y = rectified(&block, 1, convolution(net, y, width, 1, 1));
        y = rectified(&block, 2, convolution(net, y, width, 3, stride));
        y = add(&block, convolution(net, y, channels, 1, 1), "conv", last = 3);
    } else {
        y = rectified(&block, 1, convolution(net, y, width, 3, stride));
        y = add(&block, convolution(net, y, width, 3, 1), "conv", last);
    }
    int straight = shortcut(&block, channels, stride);
    net->value = add(&block,
                     (layer_spec_t){.kind = LAYER_BATCH_NORM,
                                    .input = y,
                                    .residual = straight,
                                    .relu = true,
                                    .zero_scale = true},
                     "bn", last);
    net->channels = channels;
}

void residual_stem(residual_t *net, int channels, int kernel, int stride) {
    int y =
        network_add(net->network, convolution(net, net->value, channels, kernel, stride), "conv1");
    net->value = network_add(
        net->network, (layer_spec_t){.kind = LAYER_BATCH_NORM, .input = y, .relu = true}, "bn1");
    net->channels = channels;
    net->stage = 1;
}

void residual_stage(residual_t *net, const residual_stage_t *stage) {
    for (int number = 0; number < stage->blocks; number++) add_block(net, stage, number);
    net->stage++;
}

void residual_head(residual_t *net, int classes, layer_initial_t initial) {
    int y = network_add(net->network,
                        (layer_spec_t){.kind = LAYER_AVERAGE_POOL, .input = net->value}, "avgpool");
    network_add(
        net->network,
        (layer_spec_t){
            .kind = LAYER_DENSE, .input = y, .channels = classes, .bias = true, .initial = initial},
        "fc");
}
