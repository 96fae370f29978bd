/* SPDX-License-Identifier: Apache-2.0 */
/* Time of one mixing step between processes of this machine: `mixing ALGORITHM NODES BYTES STEPS
 * [ENCODING [ROUNDS]]`.
 *
 * ALGORITHM: sgp (push to one peer and absorb), allreduce (exact mean), library (MPI's own
 * all-reduce, over MPI), memcpy (every process copies the vector once, as a reference). With
 * "+elastic" behind it the group goes on without nodes that are lost (none is). NODES 0: this
 * process is one node of a launcher (SGP_TRANSPORT=mpi under mpirun). BYTES: size of the
 * vector in float32. ENCODING: float32 (default), bfloat16, float16. ROUNDS: of a step (1); below 0:
 * so many steps of one round count as one. Prints milliseconds per step, from barrier to barrier
 * over STEPS steps, CPU milliseconds of one process, and the consensus distance. The environment
 * chooses the transport (SGP_TRANSPORT). bench/mixing compares with MPI, bench/rounds compares
 * rounds. */
#include <sgp/sgp.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct work {
    const char *algorithm;
    sgp_encoding_t encoding;
    int nodes;
    size_t count; /* floats */
    int steps;
    int rounds; /* of a step; below 0: steps of one round */
    bool elastic;
    char directory[64];
} work_t;

static void print_log(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)user;
    fprintf(stderr, "node %d: %s\n", rank, line);
}

static double milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

static double cpu_milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

/* The first steps touch the pages and are not counted. */
#define WARM_UP 3

static sgp_status_t copy_steps(const work_t *work, int steps) {
    static float *from, *to;
    if (!from) {
        from = aligned_alloc(64, work->count * sizeof *from);
        to = aligned_alloc(64, work->count * sizeof *to);
        if (!from || !to) return SGP_ERR_NO_MEMORY;
        memset(from, 1, work->count * sizeof *from);
    }
    for (int i = 0; i < steps; i++) {
        memcpy(to, from, work->count * sizeof *to);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    return SGP_OK;
}

static sgp_status_t steps(const work_t *work, sgp_mixer_t *mixer, int count) {
    if (!mixer) return copy_steps(work, count);
    sgp_status_t status = SGP_OK;
    if (work->rounds < 0) count *= -work->rounds;
    for (int i = 0; i < count && status == SGP_OK; i++)
        status = sgp_mixer_step(mixer, NULL, NULL, 0);
    return status;
}

static int node(const work_t *work, int rank) {
    sgp_log_set(print_log, NULL, SGP_LOG_WARNING);
    sgp_group_t *group;
    sgp_group_options_t place = {
        .rank = rank, .size = work->nodes, .rendezvous = work->directory, .elastic = work->elastic};
    if (sgp_group_join(&place, &group) != SGP_OK) return 1;
    rank = sgp_group_rank(group);
    sgp_mixer_t *mixer = NULL;
    sgp_mixer_options_t options = {.count = work->count,
                                   .encoding = work->encoding,
                                   .rounds = work->rounds > 1 ? work->rounds : 1};
    sgp_mixer_consensus_t consensus = {0};
    options.library_allreduce = !strcmp(work->algorithm, "library");
    const char *algorithm = options.library_allreduce ? "allreduce" : work->algorithm;
    if (sgp_algorithm_parse(algorithm, &options.algorithm) == SGP_OK) {
        if (sgp_mixer_create(group, &options, NULL, &mixer) != SGP_OK) return 1;
        float *z = sgp_mixer_parameters(mixer);
        for (size_t i = 0; i < work->count; i++) z[i] = (float)(rank + (int)(i % 7));
    }
    if (steps(work, mixer, WARM_UP) != SGP_OK) return 1;
    sgp_group_barrier(group);
    double start = milliseconds(), cpu = cpu_milliseconds();
    if (steps(work, mixer, work->steps) != SGP_OK) return 1;
    cpu = cpu_milliseconds() - cpu;
    sgp_group_barrier(group);
    double wall = milliseconds() - start;
    if (mixer && sgp_mixer_average(mixer, NULL, &consensus) != SGP_OK) return 1;
    if (rank == 0)
        printf("%.4f %.4f %.3g\n", wall / work->steps, cpu / work->steps, consensus.distance);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
    return 0;
}

static int start_nodes(const work_t *work) {
    pid_t children[64];
    int failed = 0;
    for (int r = 0; r < work->nodes; r++) {
        children[r] = fork();
        if (children[r] == 0) exit(node(work, r));
    }
    for (int r = 0; r < work->nodes; r++) {
        int status = 1;
        if (children[r] > 0) waitpid(children[r], &status, 0);
        failed |= status != 0;
    }
    return failed;
}

int main(int argc, char **argv) {
    sgp_encoding_t encoding = SGP_ENCODING_FLOAT32;
    if (argc < 5 || argc > 7 || (argc > 5 && sgp_encoding_parse(argv[5], &encoding) != SGP_OK)) {
        fprintf(stderr,
                "usage: %s sgp[+elastic]|allreduce[+elastic]|library|memcpy NODES BYTES STEPS "
                "[ENCODING [ROUNDS]]\n",
                argv[0]);
        return 2;
    }
    work_t work = {.algorithm = argv[1],
                   .encoding = encoding,
                   .nodes = atoi(argv[2]),
                   .count = strtoull(argv[3], NULL, 10) / sizeof(float),
                   .steps = atoi(argv[4]),
                   .rounds = argc > 6 ? atoi(argv[6]) : 1,
                   .directory = "/tmp/sgp-bench-XXXXXX"};
    if (work.nodes < 0 || work.nodes > 64 || work.count < 1 || work.steps < 1) {
        fprintf(stderr, "%s: NODES is 0 to 64, BYTES at least 4, STEPS at least 1\n", argv[0]);
        return 2;
    }
    char *elastic = strstr(argv[1], "+elastic");
    work.elastic = elastic != NULL;
    if (elastic) *elastic = 0;
    if (work.nodes == 0) return node(&work, 0);
    if (!mkdtemp(work.directory)) return 1;
    int failed = start_nodes(&work);
    rmdir(work.directory);
    return failed;
}
