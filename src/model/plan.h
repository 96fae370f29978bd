/* SPDX-License-Identifier: Apache-2.0 */
/* Assigns memory to activations and their gradients. A gradient is needed only between the layers
 * that read a value and the layer that wrote it, so a few buffers serve all, which saves memory and
 * keeps the cache warm. In the forward pass the same buffers hold the activations that the backward
 * pass does not read. */
#ifndef SGP_MODEL_PLAN_H
#define SGP_MODEL_PLAN_H

#include "model/layers/layer.h"

/* Allocates all values but the images and the buffers of gradients; sets `data`, `storage` and
 * `gradients` of each value and d_input of each layer. SGP_ERR_NO_MEMORY.
 * shared: set to the bytes of the buffers. layers: (count), in running order. values: (count + 1), value i being layer i - 1's output. */
sgp_status_t plan_memory(layer_t *layers, value_t *values, int count, arena_t *arena,
                         size_t *shared);

#endif
