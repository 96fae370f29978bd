/* SPDX-License-Identifier: Apache-2.0 */
/* The place that MPI's launcher has given this process. */
#ifndef SGP_MPI_PLACE_H
#define SGP_MPI_PLACE_H

#include "node.h"

/* Where the command line or SGP_TRANSPORT asks for MPI: lets sgp_group_join know, and fills in what a launcher
 * (mpirun, srun) has put into the environment; otherwise leaves place as it is. */
void mpi_place(int argc, char **argv, place_t *place);

#endif
