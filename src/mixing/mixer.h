/* SPDX-License-Identifier: Apache-2.0 */
/* What the algorithms share. An algorithm is one file that fills in sgp_algorithm_ops_t; it talks
 * to the other nodes through the inbox and knows no socket and no layer. */
#ifndef SGP_MIXING_MIXER_H
#define SGP_MIXING_MIXER_H

#include "group/group.h"
#include "mixing/ledger.h"

#include <sgp/mixer.h>

typedef struct sgp_algorithm_ops {
    const char *name;

    /* Messages of the vector's length that may be under way at a time, so that nobody is slowed by
     * a node that is behind by as much as the algorithm allows. */
    unsigned (*messages)(const sgp_mixer_t *mixer);

    /* Local update and exchange, see sgp_mixer_step. deadline: of every wait in it. */
    sgp_status_t (*step)(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, const float *gradient,
                         float learning_rate, uint64_t deadline);

    /* Absorbs what is still under way to this node; all nodes call it after the same step. NULL:
     * nothing can be. */
    sgp_status_t (*settle)(sgp_mixer_t *mixer, uint64_t deadline);
} sgp_algorithm_ops_t;

extern const sgp_algorithm_ops_t sgp_algorithm_sgp;
extern const sgp_algorithm_ops_t sgp_algorithm_allreduce;

struct sgp_mixer {
    const sgp_algorithm_ops_t *ops;
    sgp_group_t *group;
    sgp_inbox_t *inbox;
    sgp_transport_t *transport;
    int rank, size;
    size_t count;  /* P */
    size_t length; /* P + S */
    sgp_graph_t graph;
    uint64_t timeout; /* nanoseconds */
    uint32_t channel, average_channel;
    uint64_t averages; /* calls of sgp_mixer_average */

    float *z;      /* (P + S) de-biased; the numerator is w z */
    double w;      /* push-sum weight */
    uint64_t step; /* of the next sgp_mixer_step */
    sgp_ledger_t ledger;

    sgp_edge_t *edges;     /* (max degree) of the graph, in-edges of a step */
    sgp_destination_t *to; /* (size) destinations of the message being sent */
    sgp_send_t *sends;     /* (size) of all-reduce, one per segment */
    float *scratch;        /* (elements of a chunk) */
    double *sums;          /* (elements of a chunk) */
    sgp_mixer_statistics_t statistics;
};

/* Elements of float32 in a full chunk. */
static inline size_t sgp_mixer_chunk(const sgp_mixer_t *mixer) {
    return mixer->transport->chunk_bytes / sizeof(float);
}

/* The local step on elements [offset, offset + count) of z, with a copy of the result (NULL: none).
 * gradient: (P), unused if optimizer is NULL; the buffers behind P are copied as they are. Enters
 * the change in the ledger. */
void sgp_mixer_update(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, const float *gradient,
                      float learning_rate, size_t offset, size_t count, float *copy);

#endif
