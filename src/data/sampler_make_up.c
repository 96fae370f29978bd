/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an epoch's main part, or of a round of make-up steps: the positions that were returned, and the members that
 * make them up. */
#include "base/logging.h"
#include "data/late_plan.h"
#include "data/sampler.h"
#include "data/segments_record.h"

#include <stdlib.h>

/* The reports of all, read. */
typedef struct reports {
    segments_record_t *records; /* (count) */
    uint64_t *members;          /* (count) that made them */
    size_t count;
} reports_t;

static void release(reports_t *reports) {
    free(reports->records);
    free(reports->members);
}

static sgp_status_t read_one(const segments_t *own, const sampler_report_t *report,
                             segments_record_t *record) {
    sgp_status_t status = segments_record_read(report->bytes, report->size, record);
    if (status) return status;
    if (record->form != SEGMENTS_REPORT)
        return sgp_fail(SGP_ERR_FORMAT, "segments of an epoch: a report is expected");
    return segments_check_record(own, record);
}

/* reports: released by the caller, also after an error. */
static sgp_status_t read_all(const segments_t *own, const sampler_report_t *bytes, size_t count,
                             reports_t *reports) {
    *reports = (reports_t){.records = calloc(count + 1, sizeof *reports->records),
                           .members = calloc(count + 1, sizeof *reports->members),
                           .count = count};
    if (!reports->records || !reports->members)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu reports", count);
    sgp_status_t status = SGP_OK;
    for (size_t i = 0; i < count && !status; i++) {
        status = read_one(own, &bytes[i], &reports->records[i]);
        reports->members[i] = reports->records[i].self;
    }
    return status;
}

static bool have_same_plan(const reports_t *reports) {
    for (size_t i = 1; i < reports->count; i++)
        if (!segments_record_same_plan(&reports->records[0], &reports->records[i])) return false;
    return true;
}

static sgp_status_t merge_all(segments_t *segments, const reports_t *reports) {
    sgp_status_t status = SGP_OK;
    for (size_t i = 0; i < reports->count && !status; i++)
        status = segments_merge(segments, &reports->records[i]);
    return status;
}

/* Merges the reports, before all members report again. */
static sgp_status_t learn(sampler_t *sampler, uint64_t step, const reports_t *reports) {
    late_plan_t late;
    segments_t *segments = sampler_segments(sampler);
    sgp_status_t status = late_plan_begin(&late, segments, sampler->self, sampler->worker,
                                          segments->start.step, step);
    if (status) return status;
    status = merge_all(segments, reports);
    sgp_status_t ended = late_plan_end(&late, segments);
    return status ? status : ended;
}

/* Makes the segments from the reports alone, so that they are the same on every member, whatever else this process has
 * heard meanwhile. All members know the positions that were given before. */
static sgp_status_t settle(const segments_t *own, const reports_t *reports, segments_t *settled) {
    segments_options_t options = {
        .count = own->start.count, .workers = own->start.workers, .batch = own->start.batch};
    sgp_status_t status = segments_init(settled, &options);
    if (status) return status;
    settled->start = own->start;
    status = merge_all(settled, reports);
    if (!status) status = position_set_append_all(&settled->given, &own->given);
    if (status) segments_fini(settled);
    else position_set_arrange(&settled->given);
    return status;
}

/* With the positions that the steps before `step` do not reach. */
static sgp_status_t list_returned(const segments_t *settled, uint64_t step,
                                  position_set_t *returned) {
    position_set_t rest = {0};
    uint64_t count = settled->start.count;
    sgp_status_t status = segments_returned(settled, step, returned);
    if (!status) status = position_set_append(&rest, segments_reached(settled, step), count);
    if (!status) {
        position_set_arrange(&rest);
        status = position_set_subtract(&rest, &settled->used);
    }
    if (!status) status = position_set_append_all(returned, &rest);
    position_set_fini(&rest);
    position_set_arrange(returned);
    return status;
}

/* Replaces places in the list of returned positions by these positions. */
static sgp_status_t look_up(const position_set_t *list, position_set_t *places) {
    position_set_t positions = {0};
    sgp_status_t status = SGP_OK;
    for (size_t i = 0; i < places->count && !status; i++)
        status = position_set_append_part(&positions, list, places->ranges[i].first,
                                          places->ranges[i].end);
    position_set_fini(places);
    position_set_arrange(&positions);
    *places = positions;
    return status;
}

/* Makes the segments of the next make-up steps, and the list of their positions. Both are released by the caller, also
 * after an error. */
static sgp_status_t prepare(const sampler_t *sampler, uint64_t step, const reports_t *reports,
                            const segments_t *settled, segments_t *make_up,
                            position_set_t *returned) {
    sgp_status_t status = list_returned(settled, step, returned);
    if (!status && sampler->making_up) status = look_up(&sampler->returned, returned);
    if (!status)
        status = segments_init_make_up(make_up, settled, step, position_set_total(returned),
                                       reports->members, reports->count);
    /* Events that were heard after the reports hold for the steps to come. */
    return status ? status : segments_hear(make_up, sampler_segments_of(sampler));
}

static sgp_status_t begin(sampler_t *sampler, uint64_t step, const reports_t *reports) {
    segments_t settled, make_up = {0};
    position_set_t returned = {0};
    segments_t *own = sampler_segments(sampler);
    sgp_status_t status = settle(own, reports, &settled);
    if (status) return status;
    status = prepare(sampler, step, reports, &settled, &make_up, &returned);
    if (!status) status = segments_hear(&settled, own);
    if (status) {
        segments_fini(&settled);
        segments_fini(&make_up);
        position_set_fini(&returned);
        return status;
    }
    if (sampler->making_up) segments_fini(&settled); /* the main part stays as it is */
    else {
        segments_fini(&sampler->main);
        sampler->main = settled;
    }
    segments_fini(&sampler->make_up);
    position_set_fini(&sampler->returned);
    sampler->make_up = make_up;
    sampler->returned = returned;
    sampler->making_up = true;
    return SGP_OK;
}

sgp_status_t sampler_report(const sampler_t *sampler, unsigned char *bytes, size_t room,
                            size_t *size) {
    return segments_encode(sampler_segments_of(sampler), SEGMENTS_REPORT, sampler->self, bytes,
                           room, size);
}

sgp_status_t sampler_merge(sampler_t *sampler, uint64_t step, const sampler_report_t *reports,
                           size_t count) {
    reports_t read;
    sgp_status_t status = read_all(sampler_segments(sampler), reports, count, &read);
    if (!status) status = learn(sampler, step, &read);
    release(&read);
    return status;
}

sgp_status_t sampler_make_up(sampler_t *sampler, uint64_t step, const sampler_report_t *reports,
                             size_t count) {
    reports_t read;
    sgp_status_t status = read_all(sampler_segments(sampler), reports, count, &read);
    bool same = !status && have_same_plan(&read);
    if (!status) status = same ? begin(sampler, step, &read) : learn(sampler, step, &read);
    release(&read);
    if (status) return status;
    return same ? SGP_OK : SGP_ERR_AGAIN;
}
