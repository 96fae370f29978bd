/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an epoch's main part: what was returned, and who makes it up. */
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

static sgp_status_t read_one(const segments_t *main, const sampler_report_t *report,
                             segments_record_t *record) {
    sgp_status_t status = segments_record_read(report->bytes, report->size, record);
    if (status) return status;
    if (record->form != SEGMENTS_REPORT)
        return sgp_fail(SGP_ERR_FORMAT, "segments of an epoch: a report is expected");
    return segments_check_record(main, record);
}

/* reports: released by the caller, also after an error. */
static sgp_status_t read_all(const segments_t *main, const sampler_report_t *bytes, size_t count,
                             reports_t *reports) {
    *reports = (reports_t){.records = calloc(count + 1, sizeof *reports->records),
                           .members = calloc(count + 1, sizeof *reports->members),
                           .count = count};
    if (!reports->records || !reports->members)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu reports", count);
    sgp_status_t status = SGP_OK;
    for (size_t i = 0; i < count && !status; i++) {
        status = read_one(main, &bytes[i], &reports->records[i]);
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

/* All that the others know, before they are asked again. */
static sgp_status_t learn(sampler_t *sampler, uint64_t step, const reports_t *reports) {
    late_plan_t late;
    segments_t *main = &sampler->main;
    sgp_status_t status =
        late_plan_begin(&late, main, sampler->self, sampler->worker, main->start.step, step);
    if (status) return status;
    status = merge_all(main, reports);
    sgp_status_t ended = late_plan_end(&late, main);
    return status ? status : ended;
}

/* The segments that the reports alone make, so that they are the same everywhere, whatever else this process has
 * heard meanwhile. What was given before is known to all. */
static sgp_status_t settle(const segments_t *main, const reports_t *reports, segments_t *settled) {
    segments_options_t options = {
        .count = main->start.count, .workers = main->start.workers, .batch = main->start.batch};
    sgp_status_t status = segments_init(settled, &options);
    if (status) return status;
    settled->start = main->start;
    status = merge_all(settled, reports);
    if (!status) status = position_set_append_all(&settled->given, &main->given);
    if (status) segments_fini(settled);
    else position_set_arrange(&settled->given);
    return status;
}

/* With the positions that the steps before `step` do not reach. */
static sgp_status_t list_returned(const segments_t *main, uint64_t step, position_set_t *returned) {
    position_set_t rest = {0};
    uint64_t count = main->start.count;
    sgp_status_t status = segments_returned(main, step, returned);
    if (!status) status = position_set_append(&rest, segments_reached(main, step), count);
    if (!status) {
        position_set_arrange(&rest);
        status = position_set_subtract(&rest, &main->used);
    }
    if (!status) status = position_set_append_all(returned, &rest);
    position_set_fini(&rest);
    position_set_arrange(returned);
    return status;
}

static sgp_status_t begin(sampler_t *sampler, uint64_t step, const reports_t *reports) {
    segments_t settled, make_up;
    position_set_t returned = {0};
    sgp_status_t status = settle(&sampler->main, reports, &settled);
    if (status) return status;
    status = list_returned(&settled, step, &returned);
    if (!status)
        status = segments_init_make_up(&make_up, &settled, step, position_set_total(&returned),
                                       reports->members, reports->count);
    if (!status) {
        /* What was heard after the reports holds for the steps to come. */
        status = segments_hear(&make_up, &sampler->main);
        if (!status) status = segments_hear(&settled, &sampler->main);
        if (status) segments_fini(&make_up);
    }
    if (status) {
        position_set_fini(&returned);
        segments_fini(&settled);
        return status;
    }
    segments_fini(&sampler->main);
    position_set_fini(&sampler->returned);
    sampler->main = settled;
    sampler->make_up = make_up;
    sampler->returned = returned;
    sampler->making_up = true;
    return SGP_OK;
}

sgp_status_t sampler_report(const sampler_t *sampler, unsigned char *bytes, size_t room,
                            size_t *size) {
    return segments_encode(&sampler->main, SEGMENTS_REPORT, sampler->self, bytes, room, size);
}

sgp_status_t sampler_merge(sampler_t *sampler, uint64_t step, const sampler_report_t *reports,
                           size_t count) {
    reports_t read;
    sgp_status_t status = read_all(&sampler->main, reports, count, &read);
    if (!status) status = learn(sampler, step, &read);
    release(&read);
    return status;
}

sgp_status_t sampler_make_up(sampler_t *sampler, uint64_t step, const sampler_report_t *reports,
                             size_t count) {
    reports_t read;
    sgp_status_t status = read_all(&sampler->main, reports, count, &read);
    bool same = !status && have_same_plan(&read);
    if (!status) status = same ? begin(sampler, step, &read) : learn(sampler, step, &read);
    release(&read);
    if (status) return status;
    return same ? SGP_OK : SGP_ERR_AGAIN;
}
