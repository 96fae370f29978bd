/* SPDX-License-Identifier: Apache-2.0 */
/* The serving side of the parameter server: rank 0's progress thread, or its own during a collective call, applies each
 * request that arrives and answers with the new parameters, chunk by chunk. Called by server.c, which has the step and the
 * settling. */
#ifndef SGP_MIXING_ALGORITHMS_SERVER_REQUESTS_H
#define SGP_MIXING_ALGORITHMS_SERVER_REQUESTS_H

#include "mixing/mixer_core.h"

/* Kinds of requests: a gradient, for the server's optimizer; a change of the vector, to be added. Of both the buffers are
 * changes. And the parameters that the server sends to all when they settle. */
#define SGP_SERVER_GRADIENT SGP_KIND_ASK
#define SGP_SERVER_CHANGE   SGP_KIND_REDUCE
#define SGP_SERVER_FINAL    SGP_KIND_GATHER

/* The server's record of a node that sends requests. */
typedef struct sgp_client {
    uint64_t next;  /* number of its next request */
    uint64_t since; /* requests that were applied before its parameters left */
    bool answering;
    sgp_send_t answer; /* under way */
    sgp_destination_t to;
    bool rests;
} sgp_client_t;

typedef struct sgp_server {
    float *seen;    /* (P + S) z as the caller got it: the difference is the caller's own change */
    float *scratch; /* a chunk */
    uint64_t settles;
    bool touched; /* the caller may have changed the parameters since they were seen */
    bool idle;    /* from settle or hold to resume: nothing is served */
    bool holds;   /* idle by a hold */
    /* Of rank 0; under the transport's lock: */
    float *live;                /* (P + S) the parameters of the run */
    float *decoded;             /* a chunk; of the serving side alone */
    sgp_ledger_t books;         /* changes of live by the optimizer, in made */
    sgp_optimizer_t *optimizer; /* of its last step that had one; borrowed; NULL: it has had none */
    bool broken;                /* live is not finite, and is not sent any more */
    uint64_t applied;           /* requests, and own steps */
    int turn; /* the node whose request is begun first: the longest without an answer; of the serving side alone */
    bool full;   /* there was no room for an answer in this pass; of the serving side alone */
    int resting; /* nodes */
    int left;    /* a node that has left, and is waited for; -1: none */
    sgp_client_t *clients; /* (size) */
    /* Of the others: */
    uint64_t asked; /* requests */
} sgp_server_t;

/* The rate by which one node's gradient counts: as its share of a mean gradient. */
static inline float sgp_server_rate(const sgp_mixer_t *mixer, double learning_rate) {
    return (float)(learning_rate / mixer->size);
}

/* Gradients, and the parameters that answer them, travel in the mixer's encoding. A change is the only copy of what a caller
 * has done: it, its answer, and the parameters when all settle travel as float32. */
sgp_header_t sgp_server_header(const sgp_mixer_t *mixer, sgp_kind_t kind, sgp_encoding_t encoding,
                               uint64_t number);
sgp_status_t sgp_server_check(const sgp_mixer_t *mixer, const sgp_header_t *header);

/* place <- values, in the encoding of the message. false: a number is not finite. */
bool sgp_server_write(const sgp_mixer_t *mixer, const sgp_send_t *send, void *place,
                      const float *values);

/* Counts messages that this node has sent. */
void sgp_server_sent(sgp_mixer_t *mixer, sgp_encoding_t encoding, int messages);

/* Applies and answers what can be now; never blocks. */
sgp_status_t sgp_server_serve(sgp_mixer_t *mixer);

#endif
