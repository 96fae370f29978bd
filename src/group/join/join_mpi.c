/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/join_mpi.h"

#include "base/logging.h"
#include "transport/mpi/mpi.h"

#include <stdlib.h>

/* mpirun of Open MPI, mpirun of MPICH, srun. */
static const char *const variables[][2] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    {"PMI_RANK", "PMI_SIZE"},
    {"SLURM_PROCID", "SLURM_NTASKS"},
};

static bool read_environment(int *rank, int *size) {
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *own = getenv(variables[i][0]), *all = getenv(variables[i][1]);
        if (!own || !all) continue;
        *rank = atoi(own);
        *size = atoi(all);
        return true;
    }
    return false;
}

/* A process that mpirun of one MPI starts, with the library of another, is a job of its own. */
static sgp_status_t check_place(const sgp_transport_t *transport, int rank, int size) {
    if (!size || (transport->rank == rank && transport->size == size)) return SGP_OK;
    return sgp_fail(
        SGP_ERR_MISMATCH,
        "mpi: this process is node %d of %d, and for MPI node %d of %d: is it started by "
        "the mpirun of the MPI library that SGP_MPI names or sgp has found?",
        rank, size, transport->rank, transport->size);
}

sgp_status_t sgp_join_mpi(int rank, int size, sgp_transport_t **transport) {
    sgp_transport_t *made;
    sgp_status_t status = sgp_mpi_connect(&(sgp_mpi_options_t){0}, &made);
    if (status != SGP_OK) return status;
    if (!size) read_environment(&rank, &size);
    status = check_place(made, rank, size);
    if (status != SGP_OK) return sgp_transport_destroy(made), status;
    *transport = made;
    return SGP_OK;
}

sgp_status_t sgp_join_mpi_part(sgp_transport_t *whole, int part, int rank,
                               sgp_transport_t **transport) {
    sgp_mpi_options_t options = {
        .parent = whole, .part = part, .rank = rank, .chunk_bytes = whole->chunk_bytes};
    return sgp_mpi_connect(&options, transport);
}
