/* SPDX-License-Identifier: Apache-2.0 */
/* What `sgp bench` measures: the constants of `sgp simulate`. */
#ifndef SGP_BENCH_BENCH_H
#define SGP_BENCH_BENCH_H

#include <sgp/sgp.h>

#include <stdbool.h>
#include <stddef.h>

typedef struct bench_work {
    const char *model; /* NULL: no gradient is measured */
    int batch_size;
    size_t numbers; /* of a message, and of the vector that passes are measured on */
    int rounds;
} bench_work_t;

/* Of one node; NAN: not measured. */
typedef struct bench_links {
    double together; /* bytes a second of a push to the next node while all push */
    double alone;    /* of a push from node 0 to node 1; on node 1 */
    double latency;  /* seconds of a small message, half of there and back; on node 0 */
} bench_links_t;

typedef struct bench_local {
    double parameters;                  /* of the model */
    double gradient, gradient_variance; /* seconds, and their square */
    double update, copy, absorb;        /* seconds of a pass over the vector */
} bench_local_t;

/* All nodes call them in turn, and measure at the same time. The errors of the group, and of the model. */
sgp_status_t bench_links(sgp_group_t *group, const bench_work_t *work, bench_links_t *found);
sgp_status_t bench_local(sgp_group_t *group, const bench_work_t *work, bench_local_t *found);

#endif
