/* SPDX-License-Identifier: Apache-2.0 */
/* The description of an object whose state is saved (base/saved_state.h): "name=value" separated by blanks, the same text
 * on every machine and in every locale. Pure functions. */
#ifndef SGP_BASE_STATE_DESCRIPTION_H
#define SGP_BASE_STATE_DESCRIPTION_H

#include <stddef.h>
#include <stdint.h>

/* All zero: an empty description. Text beyond its room is left out. */
typedef struct sgp_state_description {
    char text[640];
    size_t length;
} sgp_state_description_t;

/* text: without blanks. */
void sgp_describe_text(sgp_state_description_t *description, const char *name, const char *text);
void sgp_describe_integer(sgp_state_description_t *description, const char *name, int64_t value);
void sgp_describe_size(sgp_state_description_t *description, const char *name, uint64_t value);

/* With the digits that tell every float from its neighbours. */
void sgp_describe_float(sgp_state_description_t *description, const char *name, float value);

/* "0/4". */
void sgp_describe_place(sgp_state_description_t *description, const char *name, int place, int of);

/* A hash, of which a difference is all that can be told. */
void sgp_describe_bytes(sgp_state_description_t *description, const char *name, const void *bytes,
                        size_t count);

#endif
