/* SPDX-License-Identifier: Apache-2.0 */
/* Joining and splitting over MPI, which needs no rendezvous: the launcher of the job has told MPI who takes
 * part. */
#ifndef SGP_GROUP_JOIN_JOIN_MPI_H
#define SGP_GROUP_JOIN_JOIN_MPI_H

#include "transport/transport.h"

#include <sgp/group.h>

/* Connects all processes of the job. rank, size: as the caller knows them, to be held against
 * MPI's; size 0: as the launcher has put them into the environment. Errors of sgp_mpi_connect, and SGP_ERR_MISMATCH; logged. */
sgp_status_t sgp_join_mpi(int rank, int size, sgp_transport_t **transport);

/* The processes of `whole`, an mpi transport, that name the same part, ordered by rank, which counts from 0 in
 * each part. All of them call it. */
sgp_status_t sgp_join_mpi_part(sgp_transport_t *whole, int part, int rank,
                               sgp_transport_t **transport);

#endif
