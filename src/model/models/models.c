/* SPDX-License-Identifier: Apache-2.0 */
#include "model/models/models.h"

#include <string.h>

static const struct {
    const char *name;
    void (*build)(network_t *network, int classes);
} table[] = {
#define MODELS_ENTRY(name) {#name, models_##name},
    MODELS(MODELS_ENTRY)
#undef MODELS_ENTRY
};

/* The entry's index; -1: no model has that name. */
static int find(const char *name) {
    for (int i = 0; i < (int)(sizeof table / sizeof *table); i++)
        if (strcmp(table[i].name, name) == 0) return i;
    return -1;
}

bool models_known(const char *name) {
    return find(name) >= 0;
}

bool models_build(network_t *network, const char *name, int classes) {
    int index = find(name);
    if (index >= 0) table[index].build(network, classes);
    return index >= 0;
}

const char *models_names(void) {
#define MODELS_NAME(name) ", " #name
    return &MODELS(MODELS_NAME)[2]; /* without the first comma */
#undef MODELS_NAME
}
