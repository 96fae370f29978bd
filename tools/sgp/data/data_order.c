/* SPDX-License-Identifier: Apache-2.0 */
#include "data/data_order.h"
#include "cli/message.h"

#include "base/random.h"

#include <stdlib.h>

enum { AHEAD = 32 }; /* samples: a few megabytes */

uint32_t *data_order(const source_t *source, source_split_t split, uint64_t seed) {
    uint64_t count = source_shape(source)->count[split];
    uint32_t *order = count <= UINT32_MAX ? malloc(count * sizeof *order) : NULL;
    if (!order) {
        message_error("no memory for the order of %llu samples", (unsigned long long)count);
        return NULL;
    }
    for (uint64_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    sgp_random_t random;
    sgp_random_init(&random, seed, (uint64_t)split);
    sgp_random_shuffle(&random, order, count);
    return order;
}

void data_order_read_ahead(const source_t *source, source_split_t split, const uint32_t *order,
                           uint64_t from, uint64_t count) {
    uint64_t indices[2 * AHEAD];
    size_t asked = 0;
    if (from % AHEAD != 0) return;
    uint64_t first = from == 0 ? 0 : from + AHEAD; /* those before have been asked for */
    for (uint64_t i = first; i < from + 2 * AHEAD && i < count; i++) indices[asked++] = order[i];
    source_will_need(source, split, indices, asked);
}
