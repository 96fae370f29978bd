/* SPDX-License-Identifier: Apache-2.0 */
/* Absorbs the messages of a round chunk by chunk in order of sender, so that the bits do not depend on the order of
 * arrival. For the algorithms that wait for the messages of a round.
 *
 * In an elastic group a sender is given up whose next chunk is missing, if the sender
 *  - is gone, and all that it has sent is here: the message is torn, or was never begun;
 *  - is silent, or has answered that it did not send the message: what still comes of it is absorbed late (late.h). */
#ifndef SGP_MIXING_ABSORPTION_H
#define SGP_MIXING_ABSORPTION_H

#include "mixing/push.h"

/* All elements before `offset` have been absorbed, and of the chunk at offset those of the first `sender` senders. */
typedef struct sgp_absorption {
    uint64_t round;
    sgp_edge_t *
        senders; /* (senders_count) ascending; weight: of the message, 0 as long as nothing of it is absorbed */
    int senders_count;
    double kept; /* the weight before */
    size_t offset;
    int sender;
    double w; /* the weight after the first `sender` senders; the same for every chunk */
    /* Where the absorption was at the last sleep, and when the senders are asked. */
    size_t seen_offset;
    int seen_sender;
    uint64_t ask_at;       /* 0: it has not slept */
    uint64_t stands_since; /* when it was first asleep there */
} sgp_absorption_t;

/* senders: (max degree), borrowed. kept: this node's weight before. */
void sgp_absorption_begin(sgp_absorption_t *absorption, const sgp_mixer_t *mixer, uint64_t round,
                          double kept, sgp_edge_t *senders);

/* Absorbs in order the chunks before `limit` that have arrived, up to the first one that has not. Never blocks.
 * SGP_ERR_MISMATCH; SGP_ERR_NO_MEMORY, to remember a message of which the rest is missing. */
sgp_status_t sgp_absorption_ready(sgp_absorption_t *absorption, sgp_mixer_t *mixer, size_t limit);

/* Absorbs the rest, asleep until it arrives, and sets mixer->w to the weight after it. Errors as sgp_mixer_step. */
sgp_status_t sgp_absorption_finish(sgp_absorption_t *absorption, sgp_mixer_t *mixer,
                                   uint64_t deadline);

/* Before this node sleeps for want of the chunk at absorption->offset from absorption->sender, in an elastic group: asks those
 * senders of whose message nothing has been absorbed (weight 0), if there has been no progress for a while. Returns when to
 * ask next. */
uint64_t sgp_absorption_ask(sgp_absorption_t *absorption, sgp_mixer_t *mixer);

#endif
