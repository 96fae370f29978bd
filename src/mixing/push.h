/* SPDX-License-Identifier: Apache-2.0 */
/* The two halves of PushSum, for the algorithms that push: the messages of a round leave, and arriving ones are absorbed.
 * A round is one exchange; its number is the step of its messages. */
#ifndef SGP_MIXING_PUSH_H
#define SGP_MIXING_PUSH_H

#include "mixing/mixer_core.h"

/* About the number of rounds in which a value reaches every node: a receiver further behind than that delays its sender
 * through other nodes anyway. At most 8: on a long ring more would cost much memory for a rare case, and waiting for room
 * is safe. */
unsigned sgp_push_reach(const sgp_mixer_t *mixer);

/* Fills mixer->to with the out-peers of a round and their shares of the weight w; returns how many. *kept: the weight that
 * stays. */
int sgp_push_shares(sgp_mixer_t *mixer, uint64_t round, double w, double *kept);

/* place <- values, encoded: into the current chunk. false: a number is not finite. */
bool sgp_push_write(const sgp_mixer_t *mixer, const sgp_send_t *send, size_t count, void *place,
                    const float *values);

/* Commits the current chunk if its numbers are finite, or the options allow others. SGP_ERR_NOT_FINITE. */
sgp_status_t sgp_push_commit(const sgp_mixer_t *mixer, sgp_send_t *send, bool finite);

/* The header of a push in a round. */
sgp_header_t sgp_push_header(const sgp_mixer_t *mixer, uint64_t round);

/* The chunk at offset of message `number` of that kind from src, or NULL if it has not arrived. Valid until released. */
sgp_chunk_t *sgp_push_find(const sgp_mixer_t *mixer, sgp_kind_t kind, int src, uint64_t number,
                           size_t offset);

/* Writes the current chunk of a push of z with `buffers` (S) in place of its buffers: for a progress thread, as the caller
 * changes its own meanwhile. false: a number is not finite. */
bool sgp_push_copy(const sgp_mixer_t *mixer, const sgp_send_t *send, const float *buffers,
                   void *place);

/* Writes the current chunk of a push of z that keeps `share` of the weight, and adds its rounding error to z. If the
 * weight is ignored (biased), z becomes that share of itself. false: a number is not finite. */
bool sgp_push_split(sgp_mixer_t *mixer, const sgp_send_t *send, void *place, double share);

/* The same for a chunk that has been copied already (float32). */
void sgp_push_keep_share(const sgp_mixer_t *mixer, const sgp_send_t *send, double share);

/* The rounding error that a push by sgp_push_copy owes to z. The node adds it after its computation; until then z is the
 * vector that was sent. */
typedef struct sgp_rounding {
    float part;           /* sent over kept weight, a factor of the error; 0: nothing is owed */
    const float *buffers; /* (S) that were sent */
    uint32_t *
        largest; /* (blocks) largest absolute values that were sent, as far as they are known; for parts */
} sgp_rounding_t;

/* Of a push that kept `kept` of the weight `before`. Nothing with a lossless encoding. */
sgp_rounding_t sgp_rounding_of(const sgp_mixer_t *mixer, double before, double kept,
                               const float *buffers);

/* sgp_holes_look at the beginning of a step: the debt is a part of the weight that was kept, and weight may come back. */
void sgp_rounding_look(sgp_rounding_t *rounding, sgp_mixer_t *mixer);

/* Before a step in parts: elements may be paid in ranges that end inside of a block of the encoding. largest:
 * (sgp_mixer_blocks), borrowed until the debt is paid; NULL: the encoding has no blocks. */
void sgp_rounding_in_parts(sgp_rounding_t *rounding, const sgp_mixer_t *mixer, uint32_t *largest);

/* pay: adds it to elements [offset, offset + count) of z, before any other change of them, once for each element. Whole
 * chunks, but in parts.
 * settle: adds it to all of z, after which nothing is owed. */
void sgp_rounding_pay(const sgp_rounding_t *rounding, sgp_mixer_t *mixer, size_t offset,
                      size_t count);
void sgp_rounding_settle(sgp_rounding_t *rounding, sgp_mixer_t *mixer);

/* Count messages of the vector's length: sent (below 0: taken back), and received, `late` of them after their own step.
 * Any thread. */
void sgp_push_sent(sgp_mixer_t *mixer, int messages);
void sgp_push_received(sgp_mixer_t *mixer, int messages, int late);

/* One chunk: z <- z + v / (w + v) (y - z), or z <- z + v y if the weight is ignored (biased). */
void sgp_push_absorb(const sgp_mixer_t *mixer, const sgp_chunk_t *chunk, double w);

/* The first of the two for any vector; z: its element at the chunk's offset. */
void sgp_push_absorb_into(float *z, const sgp_chunk_t *chunk, double w);

/* SGP_ERR_MISMATCH, logged: the message has another length or encoding than the mixer. */
sgp_status_t sgp_push_check(const sgp_mixer_t *mixer, const sgp_header_t *header);

#endif
