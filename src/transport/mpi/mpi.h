/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that an MPI launcher has started (mpirun, srun): over Open MPI, MPICH or a vendor's library,
 * and so over the cluster's own fabric. libsgp itself does not need MPI: what does is in a module that
 * is loaded when this transport is asked for (transport/mpi/mpi_binding.h).
 *
 * Threads. MPI is asked for MPI_THREAD_SERIALIZED, and all MPI calls of this library in a process are
 * made under one lock. A program that has initialised MPI itself with less can do all but run an agent:
 * agent_start says SGP_ERR_UNSUPPORTED then, and all calls are to come from the thread that
 * initialised MPI. A program that makes MPI calls of its own while an agent is running needs
 * MPI_THREAD_MULTIPLE.
 *
 * Failures. MPI ends the whole job when a process dies. So a rank counts as lost here only after a call of MPI
 * has failed, which is logged, and a rank that hangs is never noticed. */
#ifndef SGP_TRANSPORT_MPI_MPI_H
#define SGP_TRANSPORT_MPI_MPI_H

#include "transport/transport.h"

typedef struct sgp_mpi_options {
    sgp_transport_t
        *parent; /* an mpi transport, borrowed for the call; NULL: all processes of the job */
    int part;    /* of the parent: which part this process belongs to; negative: to none */
    int rank;    /* in the part: parts are ordered by it */
    size_t chunk_bytes; /* a multiple of 64, the same on all ranks; 0: the default */
} sgp_mpi_options_t;

/* Connects to all ranks of the job, or of a part of the parent. All of them call it, in the same order
 * for several transports; it blocks until they have, as long as MPI does. Initialises MPI if nobody
 * has; then MPI is finalised when the process ends, if all transports were left in order. Sets
 * *transport only on success, and to NULL where part is negative. SGP_ERR_UNSUPPORTED: there is no module
 * for this MPI, or MPI has been finalised; SGP_ERR_MISMATCH: another version on the other side;
 * SGP_ERR_INVALID, SGP_ERR_SYSTEM (MPI's own), SGP_ERR_NO_MEMORY; all logged. */
sgp_status_t sgp_mpi_connect(const sgp_mpi_options_t *options, sgp_transport_t **transport);

/* Whether it is one of these, and can be a parent. */
bool sgp_mpi_is(const sgp_transport_t *transport);

#endif
