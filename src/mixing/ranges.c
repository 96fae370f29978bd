/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/ranges.h"

#include "base/logging.h"
#include "base/memory.h"
#include "mixing/kernels.h"
#include "mixing/round_graph.h"

#include <stdlib.h>
#include <string.h>

static sgp_status_t allocate(sgp_ranges_t *ranges, size_t chunks, size_t elements) {
    size_t pairs = chunks * ranges->degree, in_chunk = sgp_modulo_blocks(elements);
    ranges->r = calloc(ranges->blocks, sizeof *ranges->r);
    ranges->moved = calloc(ranges->blocks, sizeof *ranges->moved);
    ranges->moves = calloc(ranges->blocks, sizeof *ranges->moves);
    ranges->codes = malloc(chunks * ranges->bytes);
    ranges->heard = calloc(pairs, sizeof *ranges->heard);
    ranges->refused = calloc(pairs, sizeof *ranges->refused);
    ranges->decoded = sgp_memory_alloc(ranges->degree * elements * sizeof *ranges->decoded);
    ranges->set = malloc(ranges->degree * sgp_modulo_set_bytes(elements));
    ranges->away = malloc(in_chunk);
    if (ranges->r && ranges->moved && ranges->moves && ranges->codes && ranges->heard &&
        ranges->refused && ranges->decoded && ranges->set && ranges->away)
        return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for the ranges of %zu blocks",
                    ranges->blocks);
}

sgp_status_t sgp_ranges_make(sgp_mixer_t *mixer) {
    sgp_encoding_t encoding = mixer->options.encoding;
    int bits = sgp_encoding_modulo_bits(encoding);
    if (bits == 0) return SGP_OK;
    sgp_ranges_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for ranges");
    size_t elements = sgp_mixer_chunk(mixer), degree = sgp_holes_degree(mixer);
    made->code = (sgp_modulo_t){.bits = bits, .kappa = sgp_modulo_kappa(bits)};
    made->blocks = sgp_modulo_blocks(mixer->length);
    made->bytes = sgp_encoding_bytes(encoding, elements);
    made->degree = degree > 0 ? degree : 1;
    sgp_status_t status = allocate(made, (mixer->length - 1) / elements + 1, elements);
    if (status == SGP_OK) mixer->ranges = made;
    else sgp_ranges_destroy(made);
    return status;
}

void sgp_ranges_destroy(sgp_ranges_t *ranges) {
    if (!ranges) return;
    free(ranges->r);
    free(ranges->moved);
    free(ranges->moves);
    free(ranges->codes);
    free(ranges->heard);
    free(ranges->refused);
    sgp_memory_free(ranges->decoded);
    free(ranges->set);
    free(ranges->away);
    free(ranges);
}

void sgp_ranges_begin_step(sgp_mixer_t *mixer) {
    sgp_ranges_t *ranges = mixer->ranges;
    for (size_t b = 0; b < ranges->blocks; b++) ranges->moved[b] += ranges->moves[b];
    memset(ranges->moves, 0, ranges->blocks * sizeof *ranges->moves);
}

/* The largest of a block's changes, in whatever parts they come: a step in parts has the bits of a whole one. */
void sgp_ranges_moved(sgp_mixer_t *mixer, size_t offset, size_t count, const float *before) {
    sgp_ranges_t *ranges = mixer->ranges;
    for (size_t at = offset, end = offset + count, stop; at < end; at = stop) {
        size_t block = at / SGP_MODULO_BLOCK;
        stop = (block + 1) * SGP_MODULO_BLOCK < end ? (block + 1) * SGP_MODULO_BLOCK : end;
        float most = sgp_largest_change(stop - at, before + (at - offset), mixer->z + at);
        if (most > ranges->moves[block]) ranges->moves[block] = most;
    }
}

/* The range of each block of the chunk grows with the local steps since the last push. */
static void tell_moves(sgp_ranges_t *ranges, size_t first, size_t blocks) {
    float *r = ranges->r + first, *moved = ranges->moved + first, *moves = ranges->moves + first;
    for (size_t b = 0; b < blocks; b++) {
        float most = SGP_MODULO_GROW * (moved[b] + moves[b]);
        r[b] *= SGP_MODULO_FORGET;
        if (most > r[b]) r[b] = most;
        moved[b] = moves[b] = 0;
    }
}

bool sgp_ranges_push(sgp_mixer_t *mixer, const sgp_send_t *send, void *place, float part) {
    sgp_ranges_t *ranges = mixer->ranges;
    size_t offset = send->header.offset, count = send->header.elements;
    size_t chunk = offset / sgp_mixer_chunk(mixer), first = offset / SGP_MODULO_BLOCK;
    unsigned char *codes = ranges->codes + chunk * ranges->bytes;
    tell_moves(ranges, first, sgp_modulo_blocks(count));
    bool finite = sgp_modulo_encode_keep(&ranges->code, count, codes, mixer->z + offset,
                                         ranges->r + first, 1, part, NULL);
    memcpy(place, codes, sgp_modulo_bytes(ranges->code.bits, count));
    for (size_t i = 0; i < ranges->degree; i++) {
        ranges->heard[chunk * ranges->degree + i] = i >= (size_t)send->destinations;
        ranges->refused[chunk * ranges->degree + i] = SGP_NOT_JUDGED;
    }
    return finite;
}

void sgp_ranges_state(sgp_mixer_t *mixer, sgp_state_t *state) {
    sgp_ranges_t *ranges = mixer->ranges;
    if (!ranges) return;
    sgp_ranges_begin_step(mixer); /* so that one array says it all */
    sgp_state_add(state, "modulo.ranges", SGP_STATE_FLOAT32, ranges->r, ranges->blocks);
    sgp_state_add(state, "modulo.moved", SGP_STATE_FLOAT32, ranges->moved, ranges->blocks);
}
