/* SPDX-License-Identifier: Apache-2.0 */
/* The two halves of PushSum, for the algorithms that push: what leaves a node in a round, and how
 * what arrives is absorbed. A round is an exchange; its number is the step of its messages. */
#ifndef SGP_MIXING_PUSH_H
#define SGP_MIXING_PUSH_H

#include "mixing/mixer_internal.h"

/* Rounds in which a message reaches everybody, about: so far can a receiver be behind, then its
 * sender waits for it anyway. At most 8: on a long ring that would be too much memory for a rare
 * case, and waiting for room is safe. */
unsigned sgp_push_reach(const sgp_mixer_t *mixer);

/* Fills mixer->to with the out-peers of a round and the weight that each of them gets of mass w;
 * returns how many. *kept: what stays. */
int sgp_push_shares(sgp_mixer_t *mixer, uint64_t round, double w, double *kept);

/* Copies numbers to a place in the current chunk, in the mixer's encoding. false: one is not finite. */
bool sgp_push_write(const sgp_mixer_t *mixer, const sgp_send_t *send, size_t count, void *place,
                    const float *values);

/* The current chunk leaves if its numbers are finite, or may be otherwise. SGP_ERR_NOT_FINITE. */
sgp_status_t sgp_push_commit(const sgp_mixer_t *mixer, sgp_send_t *send, bool finite);

/* The header of a round's message. */
sgp_header_t sgp_push_header(const sgp_mixer_t *mixer, uint64_t round);

/* An arrived chunk of this mixer's channel, or NULL: message `number` of a kind from src, the chunk
 * that begins at offset. Valid until it is released. */
sgp_chunk_t *sgp_push_find(const sgp_mixer_t *mixer, sgp_kind_t kind, int src, uint64_t number,
                           size_t offset);

/* Writes the current chunk of a push whose parameters are those of z and whose buffers are `buffers`
 * (S): for a courier, as the caller changes its own meanwhile. false: a number is not finite. */
bool sgp_push_copy(const sgp_mixer_t *mixer, const sgp_send_t *send, const float *buffers,
                   void *place);

/* Writes the current chunk of a push of z, and what this leaves to z: the sender keeps `share` of its
 * weight. Where that is ignored (biased), z becomes that share of itself. false: a number is not
 * finite. */
bool sgp_push_split(sgp_mixer_t *mixer, const sgp_send_t *send, void *place, double share);

/* The same but for the copy, where place has it already (float32). */
void sgp_push_keep_share(const sgp_mixer_t *mixer, const sgp_send_t *send, double share);

/* What a push by sgp_push_copy owes to z: the rounding, which z gets when the node is back from its
 * computation. Until then z is what was sent. */
typedef struct sgp_rounding {
    float part;           /* times the rounding: sent over kept weight; 0: nothing is owed */
    const float *buffers; /* (S) as they were sent */
} sgp_rounding_t;

/* Of a push that left `kept` of the weight `before`. Nothing where nothing is rounded. */
sgp_rounding_t sgp_rounding_of(const sgp_mixer_t *mixer, double before, double kept,
                               const float *buffers);

/* Pays it to elements [offset, offset + count) of z, before they are changed in any other way. Every
 * element once; rounding_settle: all of them, and nothing is owed any more. */
void sgp_rounding_pay(const sgp_rounding_t *rounding, sgp_mixer_t *mixer, size_t offset,
                      size_t count);
void sgp_rounding_settle(sgp_rounding_t *rounding, sgp_mixer_t *mixer);

/* Counts messages of the vector's length: sent (below 0: taken back), and received, `late` of them
 * after their own step. In any context. */
void sgp_push_sent(sgp_mixer_t *mixer, int messages);
void sgp_push_received(sgp_mixer_t *mixer, int messages, int late);

/* Absorbing the messages of a round chunk by chunk in order of sender: everything before `offset`
 * has been absorbed from all, and of the chunk there the first `sender` senders. So the bits do not
 * depend on the order of arrival. */
typedef struct sgp_absorption {
    uint64_t round;
    sgp_edge_t *senders; /* (senders_count) ascending */
    int senders_count;
    double kept; /* the weight before */
    size_t offset;
    int sender;
    double w; /* the weight after the first `sender` senders; the same for every chunk */
} sgp_absorption_t;

/* senders: room for the in-edges of a round, borrowed. kept: this node's weight before. */
void sgp_absorption_begin(sgp_absorption_t *absorption, const sgp_mixer_t *mixer, uint64_t round,
                          double kept, sgp_edge_t *senders);

/* Absorbs in order what has arrived of elements before `limit`; stops at the first chunk that has
 * not. Never blocks. SGP_ERR_MISMATCH. */
sgp_status_t sgp_absorption_ready(sgp_absorption_t *absorption, sgp_mixer_t *mixer, size_t limit);

/* Absorbs everything, asleep while it has not arrived; then mixer->w is the weight after it. Errors
 * as sgp_mixer_step. */
sgp_status_t sgp_absorption_finish(sgp_absorption_t *absorption, sgp_mixer_t *mixer,
                                   uint64_t deadline);

/* z <- z + v / (w + v) (y - z), or without the weight z <- z + v y, for one chunk. */
void sgp_push_absorb(const sgp_mixer_t *mixer, const sgp_chunk_t *chunk, double w);

/* The first of the two, into the chunk's elements of any vector, from its first one at z on. */
void sgp_push_absorb_into(float *z, const sgp_chunk_t *chunk, double w);

/* SGP_ERR_MISMATCH: the message is not of the mixer's length, or not in its encoding: then its chunks
 * are other ones. */
sgp_status_t sgp_push_check(const sgp_mixer_t *mixer, const sgp_header_t *header);

#endif
