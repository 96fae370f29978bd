/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/names.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct sorting {
    const char *bytes;
    names_order_fn order;
} sorting_t;

static bool grow(void **memory, size_t *room, size_t need, size_t size) {
    if (need <= *room) return true;
    size_t next = *room ? *room * 2 : 64;
    while (next < need) next *= 2;
    void *grown = realloc(*memory, next * size);
    if (!grown) return false;
    *memory = grown;
    *room = next;
    return true;
}

sgp_status_t names_add(names_t *names, const char *text) {
    size_t size = strlen(text) + 1;
    if (names->used + size > UINT32_MAX ||
        !grow((void **)&names->bytes, &names->room, names->used + size, 1) ||
        !grow((void **)&names->starts, &names->starts_room, names->count + 1,
              sizeof *names->starts))
        return SGP_ERR_NO_MEMORY;
    memcpy(names->bytes + names->used, text, size);
    names->starts[names->count++] = (uint32_t)names->used;
    names->used += size;
    return SGP_OK;
}

void names_fini(names_t *names) {
    free(names->bytes);
    free(names->starts);
    *names = (names_t){0};
}

const char *names_at(const names_t *names, size_t index) {
    return names->bytes + names->starts[index];
}

static int compare(const void *left, const void *right, void *context) {
    const sorting_t *sorting = context;
    return sorting->order(sorting->bytes + *(const uint32_t *)left,
                          sorting->bytes + *(const uint32_t *)right);
}

void names_sort(names_t *names, size_t first, names_order_fn order) {
    sorting_t sorting = {.bytes = names->bytes, .order = order};
    if (names->count > first)
        qsort_r(names->starts + first, names->count - first, sizeof *names->starts, compare,
                &sorting);
}

/* realloc to a smaller size may fail too; then the memory stays. */
static void *shrink(void *memory, size_t *room, size_t need, size_t size) {
    void *smaller = need ? realloc(memory, need * size) : NULL;
    if (smaller) *room = need;
    return smaller ? smaller : memory;
}

void names_trim(names_t *names) {
    names->bytes = shrink(names->bytes, &names->room, names->used, 1);
    names->starts = shrink(names->starts, &names->starts_room, names->count, sizeof *names->starts);
}
