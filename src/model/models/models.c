/* SPDX-License-Identifier: Apache-2.0 */
#include "model/models/models.h"

#include <string.h>

static const models_images_t MODELS_SMALL = {.side = 28, .channels = 1, .classes = 10};
static const models_images_t MODELS_LARGE = {.side = 224, .channels = 3, .classes = 1000};

static const struct {
    const char *name;
    void (*build)(network_t *network, int classes);
    const models_images_t *images;
} table[] = {
#define MODELS_ENTRY(name, images) {#name, models_##name, &MODELS_##images},
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

models_images_t models_images(const char *name) {
    return *table[find(name)].images;
}

const char *models_names(void) {
#define MODELS_NAME(name, images) ", " #name
    return &MODELS(MODELS_NAME)[2]; /* without the first comma */
#undef MODELS_NAME
}
