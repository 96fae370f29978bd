/* SPDX-License-Identifier: Apache-2.0 */
/* The transport `mpi`: processes that an MPI launcher has started (mpirun, srun), over Open MPI, MPICH or a vendor's
 * library, and so over the cluster's own fabric. Called by src/group, which joins and splits the ranks. libsgp never
 * links against MPI: the MPI calls are in a module that is loaded with this transport (transport/mpi/mpi_binding.h).
 *
 * Threads. This library requests MPI_THREAD_SERIALIZED and makes all its MPI calls in a process under one lock. If the
 * program has initialised MPI with a lower level, everything works except an agent: agent_start returns
 * SGP_ERR_UNSUPPORTED, and all calls must come from the thread that initialised MPI. A program that makes MPI calls of
 * its own while an agent runs needs MPI_THREAD_MULTIPLE.
 *
 * Failures. MPI ends the whole job when a process dies. So a rank counts as lost only after an MPI call has failed,
 * which is logged, and a rank that hangs is never detected. */
#ifndef SGP_TRANSPORT_MPI_MPI_H
#define SGP_TRANSPORT_MPI_MPI_H

#include "transport/transport.h"

typedef struct sgp_mpi_options {
    sgp_transport_t
        *parent; /* an mpi transport, borrowed for the call; NULL: all processes of the job */
    int part;    /* of the parent, to which this process belongs; negative: none */
    int rank;    /* orders the processes of a part */
    size_t chunk_bytes; /* a multiple of 64, the same on all ranks; 0: the default */
} sgp_mpi_options_t;

/* Connects to all ranks of the job, or of a part of the parent. Collective: all of them call it, in the same order for
 * several transports; it blocks as long as MPI does. Initialises MPI if the program has not; then MPI is finalised when
 * the process ends, if all transports were left in order. Sets *transport only on success, to NULL if part is negative.
 * SGP_ERR_UNSUPPORTED: there is no module for this MPI, or MPI has been finalised; SGP_ERR_MISMATCH: a rank runs another
 * version; SGP_ERR_INVALID, SGP_ERR_SYSTEM (MPI's own), SGP_ERR_NO_MEMORY; all logged. */
sgp_status_t sgp_mpi_connect(const sgp_mpi_options_t *options, sgp_transport_t **transport);

/* Whether it is an mpi transport, and so can be a parent. */
bool sgp_mpi_is(const sgp_transport_t *transport);

#endif
