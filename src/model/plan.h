/* SPDX-License-Identifier: Apache-2.0 */
/* Assigns memory to the gradients of activations. Each is needed only between the layers that read
 * a value and the layer that wrote it, so a few buffers serve all, which saves memory and keeps the
 * cache warm. */
#ifndef SGP_MODEL_PLAN_H
#define SGP_MODEL_PLAN_H

#include "model/layers/layer.h"

/* Allocates the buffers and sets `gradients` of each value and d_input of each layer.
 * layers: (count), in running order. values: (count + 1), value i being layer i - 1's output. */
sgp_status_t plan_gradients(layer_t *layers, value_t *values, int count, arena_t *arena);

#endif
