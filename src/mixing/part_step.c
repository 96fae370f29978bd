/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/part_step.h"

#include "base/logging.h"

#include <stdlib.h>

static void free_rounds(sgp_part_step_t *step) {
    free(step->push);
    free(step->edges);
    free(step->to);
    free(step->weights);
    free(step->torn);
}

static sgp_status_t make_rounds(sgp_part_step_t *step, const sgp_mixer_t *mixer, unsigned rounds) {
    size_t size = (size_t)mixer->size + 1, all = rounds * size;
    if (step->made >= rounds) return SGP_OK;
    sgp_part_step_t made = {.made = rounds};
    made.push = calloc(rounds, sizeof *made.push);
    made.edges = calloc(all, sizeof *made.edges);
    made.to = calloc(all, sizeof *made.to);
    made.weights = calloc(all, sizeof *made.weights);
    made.torn = calloc(all, sizeof *made.torn);
    if (!made.push || !made.edges || !made.to || !made.weights || !made.torn) {
        free_rounds(&made);
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %u rounds of %d nodes", rounds,
                        mixer->size);
    }
    free_rounds(step);
    step->made = rounds;
    step->push = made.push;
    step->edges = made.edges;
    step->to = made.to;
    step->weights = made.weights;
    step->torn = made.torn;
    return SGP_OK;
}

static void destroy(sgp_part_step_t *step) {
    sgp_part_chunks_fini(&step->chunks);
    free_rounds(step);
    free(step);
}

/* With the shortest chunks, of blocks, so that a switch of the encoding needs no more; each segment of an all-reduce can end
 * with a short one. */
static sgp_status_t make_chunks(sgp_part_step_t *step, const sgp_mixer_t *mixer) {
    size_t size = sgp_encoding_fit(SGP_ENCODING_INT8, mixer->transport->chunk_bytes);
    size_t most = mixer->length / size + (size_t)mixer->size + 1;
    return sgp_part_chunks_init(&step->chunks, mixer->length, most);
}

sgp_status_t sgp_part_step_make(sgp_mixer_t *mixer) {
    unsigned rounds = (unsigned)mixer->options.rounds;
    if (mixer->parts) return make_rounds(mixer->parts, mixer, rounds);
    sgp_part_step_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for a step in parts");
    sgp_status_t status = make_rounds(made, mixer, rounds);
    if (status == SGP_OK) status = make_chunks(made, mixer);
    if (status == SGP_OK) mixer->parts = made;
    else destroy(made);
    return status;
}

void sgp_part_step_destroy(sgp_mixer_t *mixer) {
    if (mixer->parts) destroy(mixer->parts);
    mixer->parts = NULL;
}
