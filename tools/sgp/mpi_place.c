/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi_place.h"

#include "group/join_mpi.h"

#include <stdlib.h>
#include <string.h>

/* The last one counts. */
static bool is_asked_for(int argc, char **argv) {
    const char *transport = getenv("SGP_TRANSPORT");
    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], "--transport=", 12)) transport = argv[i] + 12;
        else if (!strcmp(argv[i], "--transport") && i + 1 < argc) transport = argv[i + 1];
    return transport && !strcmp(transport, "mpi");
}

void mpi_place(int argc, char **argv, place_t *place) {
    if (!is_asked_for(argc, argv)) return;
    setenv("SGP_TRANSPORT", "mpi", 1);
    if (place->size == 0) sgp_join_mpi_place(&place->rank, &place->size);
}
