/* SPDX-License-Identifier: Apache-2.0 */
/* What a node keeps for an encoding that knows the receiver (codec/modulo.h): for each block of the vector a range, how far the
 * other nodes' numbers may be from its own; and the codes of its last push, for verdicts.h. For the algorithms that push in
 * lock step; sends nothing. */
#ifndef SGP_MIXING_RANGES_H
#define SGP_MIXING_RANGES_H

#include "base/state.h"
#include "codec/modulo.h"
#include "mixing/mixer_core.h"

/* Of a chunk from one sender of this round: not judged so far, or how many elements of it were refused. */
#define SGP_NOT_JUDGED UINT32_MAX

struct sgp_ranges {
    sgp_modulo_t code;
    size_t blocks; /* of the vector */
    float *r;      /* (blocks) */
    float *
        moved; /* (blocks) by the local steps since the last push, but the one that is being made */
    float *moves;         /* (blocks) by that one: the largest change of a number */
    size_t bytes;         /* of the codes of a full chunk */
    unsigned char *codes; /* (chunks, bytes) as they were pushed last */
    size_t degree;        /* the most receivers, or senders, of a round */
    bool *heard;          /* (chunks, degree) this receiver has judged the last push */
    uint32_t *refused;    /* (chunks, degree) of each sender's; SGP_NOT_JUDGED */
    float *decoded;       /* (degree, elements of a chunk) of one chunk */
    unsigned char *set;   /* (degree, sgp_modulo_set_bytes of a chunk) of its refused blocks */
    unsigned char *away;  /* (blocks of a chunk) */
};

/* mixer->ranges for its options; NULL where the encoding needs none. SGP_ERR_NO_MEMORY, logged. destroy accepts NULL. */
sgp_status_t sgp_ranges_make(sgp_mixer_t *mixer);
void sgp_ranges_destroy(sgp_ranges_t *ranges);

/* A local step has changed elements [offset, offset + count), of which before (count) is the copy. In any parts. */
void sgp_ranges_moved(sgp_mixer_t *mixer, size_t offset, size_t count, const float *before);

/* A local step begins. */
void sgp_ranges_begin_step(sgp_mixer_t *mixer);

/* Writes the current chunk of a push to `place`, keeps its codes, and adds its rounding error to z: part is the sent over the
 * kept weight. No receiver has judged it, and it is judged itself for no sender of the round. false: a number is not finite, or too
 * large. */
bool sgp_ranges_push(sgp_mixer_t *mixer, const sgp_send_t *send, void *place, float part);

/* The parts that a checkpoint must hold. Fine without ranges. */
void sgp_ranges_state(sgp_mixer_t *mixer, sgp_state_t *state);

#endif
