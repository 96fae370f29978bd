/* SPDX-License-Identifier: Apache-2.0 */
#include "node.h"

#include "command.h"
#include "interrupt.h"
#include "message.h"
#include "progress.h"
#include "summary.h"

#include "base/log.h"

#include <stdlib.h>

static bool parse_place(const char *name, long min, long max, int *value) {
    const char *text = getenv(name);
    if (!text) {
        message_error("%s: missing; SGP_RANK and SGP_SIZE come together", name);
        return false;
    }
    char *end;
    long parsed = strtol(text, &end, 10);
    if (end == text || *end != '\0' || parsed < min || parsed > max) {
        message_error("%s=%s: must be a whole number from %ld to %ld", name, text, min, max);
        return false;
    }
    *value = (int)parsed;
    return true;
}

bool node_place(place_t *place) {
    *place = (place_t){0};
    if (!getenv("SGP_RANK")) return true;
    if (!parse_place("SGP_SIZE", 1, 1 << 20, &place->size)) return false;
    return parse_place("SGP_RANK", 0, place->size - 1, &place->rank);
}

/* On a failure the group is not left in order: that is how the others learn of it. */
static sgp_status_t join_and_train(const settings_t *settings, const place_t *place,
                                   train_summary_t *summary) {
    train_groups_t groups = {0};
    sgp_status_t status = sgp_group_join(&(sgp_group_options_t){0}, &groups.all);
    int workers = settings->run.workers;
    if (status == SGP_OK && workers > 1)
        status = sgp_group_split(groups.all, workers, &groups.nodes, &groups.workers);
    if (status != SGP_OK) return status;
    progress_t progress;
    progress_begin(&progress, settings->quiet || place->rank != 0);
    train_callbacks_t callbacks = {
        .progress = progress_show, .user = &progress, .stop = &interrupt_signal};
    status = train_run(&settings->run, &groups, &callbacks, summary);
    progress_end(&progress);
    if (status != SGP_OK) return status;
    sgp_group_leave(groups.nodes);
    sgp_group_leave(groups.workers);
    sgp_group_leave(groups.all);
    return status;
}

int node_run(const settings_t *settings, const place_t *place) {
    train_summary_t summary;
    sgp_log_set_rank(place->rank);
    interrupt_catch();
    sgp_status_t status = join_and_train(settings, place, &summary);
    if (status != SGP_OK && interrupt_signal) return 128 + interrupt_signal;
    if (status != SGP_OK) return command_exit_status(status);
    return place->rank == 0 ? summary_print(settings, &summary) : 0;
}
