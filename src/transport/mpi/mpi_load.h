/* SPDX-License-Identifier: Apache-2.0 */
/* Finds and loads the module for the MPI library that this process runs under, and starts MPI. */
#ifndef SGP_TRANSPORT_MPI_MPI_LOAD_H
#define SGP_TRANSPORT_MPI_MPI_LOAD_H

#include "transport/mpi/mpi_binding.h"

#include <sgp/status.h>

/* MPI as this process has it: one for all its transports. */
typedef struct sgp_mpi {
    const sgp_mpi_binding_t *binding;
    sgp_mpi_state_t state;
} sgp_mpi_t;

/* Loads the module and starts MPI, the first time. Which module: SGP_MPI (openmpi, mpich, or a file with
 * a slash in its name), else the MPI that is in this process already, else that of the launcher whose
 * variables are set, else any. Modules lie beside libsgp or the program, or in the library folder
 * next to the program's. Thread-safe. SGP_ERR_UNSUPPORTED, SGP_ERR_SYSTEM; logged. */
sgp_status_t sgp_mpi_load(const sgp_mpi_t **mpi);

/* Around every call of the binding. */
void sgp_mpi_lock(void);
void sgp_mpi_unlock(void);

/* Transports made, and left in order. MPI that was started here is finalised at the end of the process
 * if both are the same; otherwise the job's end is MPI's to arrange, as of a process that has died. */
void sgp_mpi_count_made(void);
void sgp_mpi_count_left(void);

/* Logs an error code of MPI's: "MPI_Isend to node 3: ...". Returns SGP_ERR_SYSTEM. */
sgp_status_t sgp_mpi_fail(const sgp_mpi_t *mpi, int code, const char *what);

#endif
