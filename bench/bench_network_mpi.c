/* SPDX-License-Identifier: Apache-2.0 */
/* MPI's counterpart of bench_network.c, under mpirun:
 * `network_mpi allreduce|sendrecv PARAMETERS STEPS COMPUTE_MS SLOW_MS REPORT`.
 * The last rank sleeps for SLOW_MS instead of COMPUTE_MS. */
#include "network_times.h"

#include <mpi.h>

#include <stdlib.h>

enum { WARM_UP = 2 };

static int rank, size;

static void step(int index, int sends, size_t count, float *z, float *y) {
    if (!sends) {
        MPI_Allreduce(MPI_IN_PLACE, z, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        return;
    }
    int levels = 0;
    while (1 << levels < size) levels++;
    int hop = levels ? 1 << (index % levels) : 0;
    MPI_Sendrecv(z, (int)count, MPI_FLOAT, (rank + hop) % size, 0, y, (int)count, MPI_FLOAT,
                 (rank - hop + size) % size, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (size_t i = 0; i < count; i++) z[i] = 0.5f * (z[i] + y[i]);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (argc != 7) {
        if (rank == 0)
            fprintf(stderr,
                    "usage: %s allreduce|sendrecv PARAMETERS STEPS COMPUTE_MS SLOW_MS REPORT\n",
                    argv[0]);
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    size_t count = strtoull(argv[2], NULL, 10);
    int sends = !strcmp(argv[1], "sendrecv"), steps = atoi(argv[3]);
    double compute = atof(argv[rank == size - 1 ? 5 : 4]);
    float *z = calloc(count, sizeof *z), *y = calloc(sends ? count : 1, sizeof *y);
    if (!z || !y) MPI_Abort(MPI_COMM_WORLD, 1);
    for (size_t i = 0; i < count; i++) z[i] = (float)(rank + (int)(i % 7)) * 1e-20f;

    moment_t start = {0};
    for (int i = -WARM_UP; i < steps; i++) {
        if (i == 0) {
            MPI_Barrier(MPI_COMM_WORLD);
            start = moment_now();
        }
        compute_for(compute);
        step(i + WARM_UP, sends, count, z, y);
    }
    moment_t own = moment_now();
    MPI_Barrier(MPI_COMM_WORLD);
    moment_t end = moment_now();
    if (report(argv[6], rank, steps, &start, &own, &end) != 0) MPI_Abort(MPI_COMM_WORLD, 1);
    free(z);
    free(y);
    MPI_Finalize();
    return 0;
}
