/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of residual networks (He, Zhang, Ren, Sun 2015). The files resnet*.c call it. */
#ifndef SGP_MODEL_MODELS_RESIDUAL_H
#define SGP_MODEL_MODELS_RESIDUAL_H

#include "model/network.h"

/* A residual network while its layers are listed. */
typedef struct residual {
    network_t *network;
    layer_initial_t initial; /* of convolutions */
    int value;               /* the value that the next block reads */
    int channels;            /* of that value */
    int stage;               /* of the next block, from 1; its tensors begin with "layer<stage>." */
} residual_t;

/* A stage: blocks of the same shape. */
typedef struct residual_stage {
    int blocks;
    int channels;    /* of the 3x3 convolutions */
    int stride;      /* of the first block */
    bool bottleneck; /* three convolutions, the last with RESIDUAL_EXPANSION times the channels */
} residual_stage_t;

enum { RESIDUAL_EXPANSION = 4 };

/* Appends a convolution without bias, padded by half its kernel, and batch norm with ReLU behind
 * it, named "conv1" and "bn1". */
void residual_stem(residual_t *net, int channels, int kernel, int stride);

/* Appends the blocks of a stage. Where a block changes the shape, its shortcut is a 1x1 convolution
 * with batch norm (option B of the paper). The last batch norm of each block starts with scale 0
 * (Goyal et al. 2017, section 5.1). A bottleneck strides in its 3x3 convolution, as torchvision and
 * the paper's training code do ("ResNet v1.5"), not in its first 1x1. */
void residual_stage(residual_t *net, const residual_stage_t *stage);

/* Appends the mean over all pixels and the dense layer "fc". */
void residual_head(residual_t *net, int classes, layer_initial_t initial);

#endif
