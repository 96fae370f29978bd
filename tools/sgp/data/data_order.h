/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which `sgp data` goes through a split. */
#ifndef SGP_DATA_DATA_ORDER_H
#define SGP_DATA_DATA_ORDER_H

#include "data/source.h"

/* (count) numbers of samples, shuffled by the seed; the caller's to free. NULL after a line: no memory, or too many. */
uint32_t *data_order(const source_t *source, source_split_t split, uint64_t seed);

/* Asks the system for the samples at order[from], ... that follow soon; call with each from. */
void data_order_read_ahead(const source_t *source, source_split_t split,
                           const uint32_t *order /* (count) */, uint64_t from, uint64_t count);

#endif
