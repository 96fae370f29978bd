/* SPDX-License-Identifier: Apache-2.0 */
/* A network as data: a list of layers in running order. The files of models/ write the list, and
 * layers/layer.c interprets it. */
#ifndef SGP_MODEL_NETWORK_H
#define SGP_MODEL_NETWORK_H

#include <stdbool.h>

typedef enum layer_kind {
    LAYER_CONVOLUTION,
    LAYER_DENSE, /* over all values of its input, of any shape */
    LAYER_RELU,
    LAYER_BATCH_NORM, /* optionally with a residual addition and a ReLU behind it */
    LAYER_MAX_POOL,
    LAYER_AVERAGE_POOL, /* over all pixels */
} layer_kind_t;

/* The random initial weights of a convolution or dense layer; "inputs" are the products that are
 * added up for one output. */
typedef enum layer_initial {
    /* Normal, of variance 2 / inputs (He et al. 2015); of deviation 0.01 in the network's last
     * layer. Biases are 0. */
    LAYER_INITIAL_FAN_IN,
    /* Normal, of variance 2 / (channels x kernel x kernel): torch's kaiming_normal_ with fan_out.
     * Biases are 0. */
    LAYER_INITIAL_FAN_OUT,
    /* Weights and biases uniform within 1 / sqrt(inputs), as those of torch.nn.Linear. */
    LAYER_INITIAL_UNIFORM,
} layer_initial_t;

/* Layers read and write values: value 0 is the images, value i the output of layer i - 1. A value
 * has at most two readers. */
typedef struct layer_spec {
    layer_kind_t kind;
    int input;    /* a value; 0: the images */
    int residual; /* batch norm: a value to be added before the ReLU; 0: none */
    int channels; /* convolution, dense: of the output */
    int kernel;   /* convolution, max pooling: pixels in both directions, as stride and padding */
    int stride;   /* 0 means 1 */
    int padding;
    bool bias;               /* convolution, dense */
    bool relu;               /* batch norm, max pooling: a ReLU is built in */
    bool zero_scale;         /* batch norm: initial scale 0, so that the block starts as identity */
    layer_initial_t initial; /* convolution, dense */
    char name[32];           /* of its tensors, as in PyTorch: "layer1.0.conv1"; unique */
} layer_spec_t;

enum { NETWORK_MAX_LAYERS = 256 };

typedef struct network {
    int count;
    layer_spec_t layers[NETWORK_MAX_LAYERS];
} network_t;

/* "convolution", "dense", ...; static. */
const char *layer_kind_name(layer_kind_t kind);

/* Appends a layer, named by a printf format, and returns the value that it writes. */
__attribute__((format(printf, 3, 4))) int network_add(network_t *network, layer_spec_t spec,
                                                      const char *format, ...);

#endif
