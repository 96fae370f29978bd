/* SPDX-License-Identifier: Apache-2.0 */
/* Where the gradients of activations lie. Each is needed for a short time only, between the layers
 * that read a value and the one that wrote it, so a few buffers serve all: memory saved, and what
 * is in the cache stays there. */
#ifndef SGP_MODEL_PLAN_H
#define SGP_MODEL_PLAN_H

#include "model/layers/layer.h"

/* Allocates the buffers and sets `gradients` of each value and d_input of each layer.
 * layers: (count), in running order. values: (count + 1), value i being layer i - 1's output. */
sgp_status_t plan_gradients(layer_t *layers, value_t *values, int count, arena_t *arena);

#endif
