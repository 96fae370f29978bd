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

bool models_build(network_t *network, const char *name, int classes) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].name, name)) continue;
        table[i].build(network, classes);
        return true;
    }
    return false;
}

const char *models_names(void) {
#define MODELS_NAME(name) ", " #name
    return &MODELS(MODELS_NAME)[2]; /* without the first comma */
#undef MODELS_NAME
}
