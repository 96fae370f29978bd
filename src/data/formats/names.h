/* SPDX-License-Identifier: Apache-2.0 */
/* A list of strings in one piece of memory: four bytes and the string for each, so that the file
 * names of ImageNet take 35 MB. Called by the formats; logs nothing. */
#ifndef SGP_DATA_FORMATS_NAMES_H
#define SGP_DATA_FORMATS_NAMES_H

#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

/* Fields are private but for count. All zero is an empty list. */
typedef struct names {
    size_t count;
    char *bytes; /* (used) strings with their zero bytes, in the order of names_add */
    size_t used, room;
    uint32_t *starts; /* (count) where each begins, in the order of the list */
    size_t starts_room;
} names_t;

/* Appends a copy. SGP_ERR_NO_MEMORY: the list is as before; also where all strings together would
 * exceed 4 GiB. */
sgp_status_t names_add(names_t *names, const char *text);
void names_fini(names_t *names);

/* index < count. Valid until the next names_add. */
const char *names_at(const names_t *names, size_t index);

/* An order of strings, as of strcmp. */
typedef int (*names_order_fn)(const char *left, const char *right);

/* Sorts the entries from `first` on. */
void names_sort(names_t *names, size_t first, names_order_fn order);

/* Gives memory back that later entries would need. */
void names_trim(names_t *names);

#endif
