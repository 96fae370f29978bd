/* SPDX-License-Identifier: Apache-2.0 */
/* The named tensors of a network inside the flat vectors, and their initial values. */
#ifndef SGP_MODEL_TENSORS_H
#define SGP_MODEL_TENSORS_H

#include "model/layers/layer.h"
#include "model/model_types.h"

typedef struct tensors {
    size_t count;
    model_tensor_t *list; /* parameters first; names are the list's own */
    size_t parameter_count, buffer_count;
} tensors_t;

/* Gives each layer its offsets and lists its tensors, in running order without gaps. */
sgp_status_t tensors_init(tensors_t *tensors, layer_t *layers, int layer_count);
void tensors_fini(tensors_t *tensors);

/* See model_init_parameters. */
void tensors_set_initial(const layer_t *layers, int layer_count, uint64_t seed, float *parameters,
                         float *buffers);

#endif
