/* SPDX-License-Identifier: Apache-2.0 */
/* Finds and loads the module for the MPI library of this process, and starts MPI. Called by the files of transport/mpi
 * alone; never sends. */
#ifndef SGP_TRANSPORT_MPI_MPI_LOAD_H
#define SGP_TRANSPORT_MPI_MPI_LOAD_H

#include "transport/mpi/mpi_binding.h"

#include <sgp/status.h>

/* The MPI library of this process, shared by all its transports. */
typedef struct sgp_mpi {
    const sgp_mpi_binding_t *binding;
    sgp_mpi_state_t state;
} sgp_mpi_t;

/* The first call loads the module and starts MPI. The module is that of SGP_MPI (openmpi, mpich, or a file with a slash
 * in its name), else of the MPI library that this process already has, else of the launcher whose variables are set,
 * else any. Modules lie beside libsgp or the program, or in the library folder next to the program's. Thread-safe.
 * SGP_ERR_UNSUPPORTED, SGP_ERR_SYSTEM; logged. */
sgp_status_t sgp_mpi_load(const sgp_mpi_t **mpi);

/* Around every call of the binding. */
void sgp_mpi_lock(void);
void sgp_mpi_unlock(void);

/* Count transports that were made, and that were left in order. If the counts are equal at the end of the process, MPI is
 * finalised, provided that sgp started it; otherwise MPI ends the job, as for a process that has died. */
void sgp_mpi_count_made(void);
void sgp_mpi_count_left(void);

/* Logs an error code of MPI's: "a message to node 3: ...". Returns SGP_ERR_SYSTEM. */
sgp_status_t sgp_mpi_fail(const sgp_mpi_t *mpi, int code, const char *what);

#endif
