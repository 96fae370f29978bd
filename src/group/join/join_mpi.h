/* SPDX-License-Identifier: Apache-2.0 */
/* Joining and splitting over MPI, which needs no exchange: the launcher has told MPI which
 * processes take part. */
#ifndef SGP_GROUP_JOIN_JOIN_MPI_H
#define SGP_GROUP_JOIN_JOIN_MPI_H

#include "transport/transport.h"

#include <sgp/group.h>

/* Connects all processes of the job. rank, size: as the caller knows them, compared with MPI's;
 * size 0: as the launcher's environment has them. Errors of sgp_mpi_connect, and SGP_ERR_MISMATCH;
 * logged. */
sgp_status_t sgp_join_mpi(int rank, int size, sgp_transport_t **transport);

/* The processes of `whole`, an mpi transport, that name the same part, in order of rank, which
 * counts from 0 in each part. All processes of `whole` call it. */
sgp_status_t sgp_join_mpi_part(sgp_transport_t *whole, int part, int rank,
                               sgp_transport_t **transport);

#endif
