/* SPDX-License-Identifier: Apache-2.0 */
/* A sampler's segments as bytes: the length of the main part's record (u64), that record, and while making up the
 * record of the make-up steps. */
#include "base/bytes.h"
#include "base/logging.h"
#include "data/sampler.h"
#include "data/segments_record.h"

#include <inttypes.h>

enum { LENGTH_BYTES = 8 };

/* While making up the main part is over: only its members and what it gave still count. A view, which owns nothing. */
static segments_t main_to_save(const sampler_t *sampler) {
    segments_t main = sampler->main;
    if (!sampler->making_up) return main;
    main.start.step = sampler->make_up.start.step;
    main.start.begin = main.start.count;
    main.given = sampler->returned;
    main.used.count = main.absence_count = 0;
    return main;
}

size_t sampler_state_bytes(const sampler_t *sampler) {
    segments_t main = main_to_save(sampler);
    size_t bytes = LENGTH_BYTES + segments_record_bytes(&main, SEGMENTS_WHOLE);
    if (sampler->making_up) bytes += segments_record_bytes(&sampler->make_up, SEGMENTS_WHOLE);
    return bytes;
}

/* The room is what segments_record_bytes says, so that encoding does not fail. */
static unsigned char *put(const segments_t *segments, unsigned char *bytes) {
    size_t size = 0, room = segments_record_bytes(segments, SEGMENTS_WHOLE);
    segments_encode(segments, SEGMENTS_WHOLE, 0, bytes, room, &size);
    return bytes + size;
}

void sampler_save(const sampler_t *sampler, unsigned char *bytes) {
    segments_t main = main_to_save(sampler);
    unsigned char *end = put(&main, bytes + LENGTH_BYTES);
    sgp_bytes_put(bytes, (uint64_t)(end - bytes) - LENGTH_BYTES, LENGTH_BYTES);
    if (sampler->making_up) put(&sampler->make_up, end);
}

static sgp_status_t check(const sampler_t *sampler, const segments_record_t *record) {
    const cursor_t *own = &sampler->main.start, *other = &record->start;
    if (own->count == other->count && own->workers == other->workers && own->batch == other->batch)
        return SGP_OK;
    return sgp_fail(SGP_ERR_MISMATCH,
                    "the saved order is of %" PRIu64
                    " samples, %d workers and batch %d; here %" PRIu64 ", %d and %d",
                    other->count, other->workers, other->batch, own->count, own->workers,
                    own->batch);
}

/* made: not initialised. As segments_init. */
static sgp_status_t read_main(const sampler_t *sampler, const unsigned char *bytes, size_t size,
                              segments_t *made) {
    segments_record_t record;
    sgp_status_t status = segments_record_read(bytes, size, &record);
    if (!status) status = check(sampler, &record);
    if (!status) status = segments_init_from(made, &record);
    return status;
}

/* main: as it was saved beside it. */
static sgp_status_t read_make_up(const segments_t *main, const unsigned char *bytes, size_t size,
                                 segments_t *made) {
    segments_record_t record;
    sgp_status_t status = segments_record_read(bytes, size, &record);
    if (status) return status;
    if (record.start.count != position_set_total(&main->given) ||
        record.start.step != main->start.step || record.start.workers != main->start.workers ||
        record.start.batch != main->start.batch)
        return sgp_fail(SGP_ERR_FORMAT, "the saved order: its make-up steps do not fit it");
    return segments_init_from(made, &record);
}

static void replace(sampler_t *sampler, segments_t *main, const segments_t *make_up) {
    segments_fini(&sampler->main);
    segments_fini(&sampler->make_up);
    position_set_fini(&sampler->returned);
    sampler->making_up = make_up != NULL;
    if (make_up) {
        sampler->returned = main->given;
        main->given = (position_set_t){0};
        sampler->make_up = *make_up;
    }
    sampler->main = *main;
}

sgp_status_t sampler_restore(sampler_t *sampler, const unsigned char *bytes, size_t size) {
    segments_t main, make_up;
    uint64_t length = size >= LENGTH_BYTES ? sgp_bytes_get(bytes, LENGTH_BYTES) : 0;
    if (size < LENGTH_BYTES || length > size - LENGTH_BYTES)
        return sgp_fail(SGP_ERR_FORMAT, "the saved order: %zu bytes are too few", size);
    size_t rest = size - LENGTH_BYTES - (size_t)length;
    sgp_status_t status = read_main(sampler, bytes + LENGTH_BYTES, (size_t)length, &main);
    if (status) return status;
    if (rest > 0) status = read_make_up(&main, bytes + size - rest, rest, &make_up);
    if (status) {
        segments_fini(&main);
        return status;
    }
    replace(sampler, &main, rest > 0 ? &make_up : NULL);
    return SGP_OK;
}
