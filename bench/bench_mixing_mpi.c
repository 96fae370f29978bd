/* SPDX-License-Identifier: Apache-2.0 */
/* MPI's counterpart of bench_mixing.c, under mpirun: `mixing_mpi sendrecv|allreduce BYTES STEPS`.
 * Prints milliseconds per step, and CPU milliseconds of one process. */
#include <mpi.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WARM_UP 3

#ifdef __clang__ /* which vectorises at -O2 and has no attribute optimize */
#define VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define VECTORISED __attribute__((optimize("O3"), target_clones("avx512f", "avx2", "default")))
#endif

/* z <- (z + y) / 2, as a push and its absorption do; as fast as the library's kernel. */
VECTORISED static void add(size_t count, float *restrict z, const float *restrict y) {
    for (size_t i = 0; i < count; i++) z[i] += 0.5f * (y[i] - z[i]);
}

static double cpu_milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

static void step(const char *what, int index, int rank, int size, size_t count, float *z,
                 float *y) {
    if (!strcmp(what, "allreduce")) {
        MPI_Allreduce(z, y, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        return;
    }
    int levels = 0;
    while (1 << levels < size) levels++;
    int hop = levels ? 1 << (index % levels) : 0;
    MPI_Sendrecv(z, (int)count, MPI_FLOAT, (rank + hop) % size, 0, y, (int)count, MPI_FLOAT,
                 (rank - hop + size) % size, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    add(count, z, y);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank, size;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (argc != 4) {
        if (rank == 0) fprintf(stderr, "usage: %s sendrecv|allreduce BYTES STEPS\n", argv[0]);
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    size_t count = strtoull(argv[2], NULL, 10) / sizeof(float);
    int steps = atoi(argv[3]);
    float *z = aligned_alloc(64, count * sizeof *z), *y = aligned_alloc(64, count * sizeof *y);
    if (!z || !y) MPI_Abort(MPI_COMM_WORLD, 1);
    for (size_t i = 0; i < count; i++) z[i] = (float)(rank + (int)(i % 7));
    for (int i = 0; i < WARM_UP; i++) step(argv[1], i, rank, size, count, z, y);
    MPI_Barrier(MPI_COMM_WORLD);
    double start = MPI_Wtime(), cpu = cpu_milliseconds();
    for (int i = 0; i < steps; i++) step(argv[1], i, rank, size, count, z, y);
    cpu = cpu_milliseconds() - cpu;
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) printf("%.4f %.4f\n", (MPI_Wtime() - start) * 1e3 / steps, cpu / steps);
    free(z);
    free(y);
    MPI_Finalize();
    return 0;
}
