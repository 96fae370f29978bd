/* SPDX-License-Identifier: Apache-2.0 */
/* The networks that a model is built from, each written as a list of layers. model.c calls this
 * folder; nothing here allocates, runs a kernel or knows of nodes.
 *
 * A new model is a function models_NAME in a file of this folder and one entry in MODELS. */
#ifndef SGP_MODEL_MODELS_MODELS_H
#define SGP_MODEL_MODELS_MODELS_H

#include "model/network.h"

/* X(name, images); the name is also that of the function that builds the network. images: those of
 * models_images. */
#define MODELS(X)                                                                                  \
    X(mlp, SMALL)                                                                                  \
    X(lenet, SMALL)                                                                                \
    X(resnet20, SMALL)                                                                             \
    X(resnet32, SMALL)                                                                             \
    X(resnet56, SMALL)                                                                             \
    X(resnet18, LARGE)                                                                             \
    X(resnet34, LARGE)                                                                             \
    X(resnet50, LARGE)                                                                             \
    X(resnet101, LARGE)

/* void models_NAME(network_t *, int classes): appends the layers to an empty network. The last
 * layer's output is the logits. */
#define MODELS_DECLARE(name, images) void models_##name(network_t *network, int classes);
MODELS(MODELS_DECLARE)
#undef MODELS_DECLARE

/* Writes the named model's layers into an empty network. Returns false if no model has that
 * name. */
bool models_build(network_t *network, const char *name, int classes);

bool models_known(const char *name);

/* The images that the network is known for, where no data set says it: SMALL are Fashion-MNIST's,
 * LARGE ImageNet's. The name is known. */
typedef struct models_images {
    int side, channels, classes;
} models_images_t;
models_images_t models_images(const char *name);

/* All names, separated by ", ". Static. */
const char *models_names(void);

#endif
