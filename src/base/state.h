/* SPDX-License-Identifier: Apache-2.0 */
/* The state that an object keeps from one run of a program to the next, as a list of named arrays
 * where they lie: a checkpoint writes them, and a resumed run fills the same places again. */
#ifndef SGP_BASE_STATE_H
#define SGP_BASE_STATE_H

#include <assert.h>
#include <stddef.h>

enum { SGP_STATE_ITEMS = 64 };

typedef enum sgp_state_kind {
    SGP_STATE_FLOAT32, /* float */
    SGP_STATE_FLOAT64, /* double */
    SGP_STATE_UINT64,  /* uint64_t */
} sgp_state_kind_t;

typedef struct sgp_state_item {
    const char *name; /* unique in the list, static: "mixer.weight" */
    sgp_state_kind_t kind;
    void *data; /* (count) the object's own memory */
    size_t count;
} sgp_state_item_t;

/* All zero is the empty list. */
typedef struct sgp_state {
    size_t count;
    sgp_state_item_t items[SGP_STATE_ITEMS];
} sgp_state_t;

static inline void sgp_state_add(sgp_state_t *state, const char *name, sgp_state_kind_t kind,
                                 void *data, size_t count) {
    assert(state->count < SGP_STATE_ITEMS);
    state->items[state->count++] =
        (sgp_state_item_t){.name = name, .kind = kind, .data = data, .count = count};
}

#endif
