/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi_place.h"

#include <stdlib.h>
#include <string.h>

/* Open MPI's mpirun, MPICH's, srun. */
static const char *const variables[][2] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    {"PMI_RANK", "PMI_SIZE"},
    {"SLURM_PROCID", "SLURM_NTASKS"},
};

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
    for (size_t i = 0; place->size == 0 && i < sizeof variables / sizeof *variables; i++) {
        const char *rank = getenv(variables[i][0]), *size = getenv(variables[i][1]);
        if (rank && size) *place = (place_t){.rank = atoi(rank), .size = atoi(size)};
    }
}
