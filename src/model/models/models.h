/* SPDX-License-Identifier: Apache-2.0 */
/* The networks that a model is built from, each written as a list of layers. model.c calls this
 * folder; nothing here allocates, runs a kernel or knows of nodes.
 *
 * A new model is a function models_NAME in a file of this folder and one entry in MODELS. */
#ifndef SGP_MODEL_MODELS_MODELS_H
#define SGP_MODEL_MODELS_MODELS_H

#include "model/network.h"

/* X(name); the name is also that of the function that builds the network. */
#define MODELS(X)                                                                                  \
    X(mlp)                                                                                         \
    X(lenet)                                                                                       \
    X(resnet20)                                                                                    \
    X(resnet32)                                                                                    \
    X(resnet56)                                                                                    \
    X(resnet18)                                                                                    \
    X(resnet34)                                                                                    \
    X(resnet50)                                                                                    \
    X(resnet101)

/* void models_NAME(network_t *, int classes): appends the layers to an empty network. The last
 * layer's output is the logits. */
#define MODELS_DECLARE(name) void models_##name(network_t *network, int classes);
MODELS(MODELS_DECLARE)
#undef MODELS_DECLARE

/* Writes the named model's layers into an empty network. Returns false if no model has that
 * name. */
bool models_build(network_t *network, const char *name, int classes);

bool models_known(const char *name);

/* All names, separated by ", ". Static. */
const char *models_names(void);

#endif
